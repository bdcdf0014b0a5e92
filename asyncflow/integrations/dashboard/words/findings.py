"""The Chinese of the findings, by their codes: what each means; the sentence with its names and numbers follows it."""

from __future__ import annotations

from collections.abc import Mapping

CHINESE_FINDINGS: Mapping[str, str] = {
    "no-instance": "没有调度器在运行，到期的任务无人处理。",
    "type-undeclared": "没有任何运行中的实例声明这个任务类型，它的任务在等待。",
    "type-unhandled": "这个任务类型没有处理函数，也没有 worker 来取它的任务。",
    "type-off": "这个任务类型已被停用，它的任务在等待，直到重新启用。",
    "rate-spent": "这个任务类型的速率已用完，任务按它允许的速度发送。",
    "breaker-open": "目的地连不上，熔断器已断开；会自动重试，期间不消耗尝试次数。",
    "shards-unowned": "有到期任务的分片没有所有者，因此无人读取。",
    "handlers-hang": "这个任务类型的处理函数全部长时间没有返回，占满了并发数。",
    "key-parked": "同一个键的任务按顺序执行，前面的任务失败了，后面的在等它。",
    "type-behind": "这个任务类型有在处理，但赶不上进来的速度。",
    "dead-letters-new": "最近有任务失败次数用尽，成为死信；修好原因后可以重放。",
    "claims-run-out": "任务的认领一再到期：处理时间过长，或者它使 worker 进程崩溃。",
    "writes-fenced": "迟到的写入被拒绝：实例停顿超过了租约，或两个实例用了同一个编号。",
    "clocks-apart": "这台主机的时钟与数据库的时钟不一致。",
    "pool-too-small": "连接池太小，调度器的循环等不到连接。",
    "loop-failing": "调度器的一个循环连续失败，它负责的工作停了下来。",
    "cleaning-behind": "清理跟不上：已完成的行保留得比设置的更久。",
    "versions-differ": "各实例的版本不同；部署期间这是正常的。",
    "settings-differ": "各实例的设置不同。",
    "table-differs": "数据库的表或索引与这个版本需要的不一致。",
    "looked-in-part": "通道太多，没有全部查看。",
    # -- what a finding concerns
    "task type": "任务类型",
    "task types": "任务类型",
    "tasks": "任务",
    "destination": "目的地",
    "topic": "主题",
    "instance": "实例",
    "instances": "实例",
    "shards": "分片",
    "key": "键",
    "status": "状态",
    "table": "表",
}
