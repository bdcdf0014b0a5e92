"""The Chinese of the diagnosis, by the forms of its English sentences; names, numbers and errors stand in both."""

from __future__ import annotations

from collections.abc import Mapping

CHINESE_FORMS: Mapping[str, str] = {
    # -- durations, lists, moments ------------------------------------------------------------------------
    "{count} s": "{count} 秒",
    "{count} min": "{count} 分钟",
    "{count} h": "{count} 小时",
    "{count} d": "{count} 天",
    "in {age}": "{age}后",
    "now": "现在",
    "{few} and {count} more": "{few} 和另外 {count} 个",
    "{count} or more": "至少 {count} 个",
    "somebody": "某个进程",
    "an instance": "某个实例",
    "no error was told": "没有报告错误",
    "no error was written": "没有写下错误",
    # -- why types wait -----------------------------------------------------------------------------------
    "No scheduler runs{ever}; the oldest due task waits for {age}.": (
        "没有调度器在运行{ever}；最早到期的任务已等待 {age}。"
    ),
    ", and none has taken a shard here yet": "，这里也还没有哪个取得过分片",
    "Tasks of {types} stand in shards from {shard} on, but there are {count}: they were enqueued with another "
    "shard_count.": (
        "{types} 的任务在编号从 {shard} 起的分片中，但一共只有 {count} 个：入队时用的是另一个 shard_count。"
    ),
    "Nobody owns {count} shard in which tasks of {types} are due: {why}.": (
        "有 {count} 个分片无主，其中有 {types} 的任务到期：{why}。"
    ),
    "Nobody owns {count} shards in which tasks of {types} are due: {why}.": (
        "有 {count} 个分片无主，其中有 {types} 的任务到期：{why}。"
    ),
    "no instance has taken them: the fixed shares of the instances that run leave them out, or none looks": (
        "没有实例接管它们：运行中各实例的固定份额不包含它们，或没有实例在查看"
    ),
    "{instances} is being drained, and no other instance takes them": "{instances} 正在排空，没有其他实例接管",
    "{instances} are being drained, and no other instance takes them": "{instances} 正在排空，没有其他实例接管",
    "{place} cannot be reached by {instances}: {error}; it is tried again {when}{waits}.": (
        "{instances} 连不上 {place}：{error}；{when}重试{waits}。"
    ),
    "The topic {topic} of {destination}": "{destination} 的主题 {topic}",
    "; due tasks of {types} wait, and spend no attempts": "；{types} 的到期任务在等待，不消耗尝试次数",
    "asyncflow instances list --json  # then look after the broker: it is tried again by itself": (
        "asyncflow instances list --json  # 然后检查消息代理：会自动重试"
    ),
    "There are too many lanes to look at all of them; task types behind {last} were not looked at.": (
        "通道太多，没有全部查看；{last} 之后的任务类型没有查看。"
    ),
    "asyncflow explain TASK  # for a task of one of them": "asyncflow explain TASK  # 其中某个任务的编号",
    "The oldest due task of {type} waits for {age}: {why}.": "{type} 最早到期的任务已等待 {age}：{why}。",
    "it is switched off": "该类型已停用",
    "the one instance that runs does not declare it, and left it alone": "唯一运行的实例没有声明该类型，因此没有动它",
    "none of the {count} instances declares it: they left it alone": "{count} 个实例都没有声明该类型，因此没有动它",
    "it is declared, but no instance has a handler for it, and no worker of a task service takes it": (
        "该类型已声明，但没有实例有它的处理函数，也没有任务服务的 worker 领取它"
    ),
    "its only handler has been at work on {instances} for {age}": "它唯一的处理函数已在 {instances} 上工作 {age}",
    "all its {count} handlers are at work on {instances}, the longest of them for {age}": (
        "它在 {instances} 上的 {count} 个处理函数都在工作，最久的已 {age}"
    ),
    "{why}; one of its handlers has been at work for {age}": "{why}；它有一个处理函数已工作 {age}",
    "{why}; usually one takes {usual}": "{why}；通常一个需要 {usual}",
    "{count} claimed task of {type} waits: {why}.": "{type} 有 {count} 个已认领的任务在等待：{why}。",
    "{count} claimed tasks of {type} wait: {why}.": "{type} 有 {count} 个已认领的任务在等待：{why}。",
    "its rate is spent: more tasks come than its rate_limit_per_second or interval_seconds lets through": (
        "速率已用完：来的任务多于 rate_limit_per_second 或 interval_seconds 允许的数量"
    ),
    "outbox.message({name}, rate_limit_per_second=MORE)  # where it is declared": (
        "outbox.message({name}, rate_limit_per_second=MORE)  # 在声明它的地方"
    ),
    "nothing stands in its way: more comes than is done, and {instances} is at work": (
        "没有阻碍：来的比完成的多，{instances} 正在工作"
    ),
    "{instances} met locks of somebody else on rows {age} ago, and leaves these rows until they are free": (
        "{instances} 在 {age}前遇到别人加在行上的锁，这些行要等锁释放"
    ),
    "{statement};  -- in the database, then end who holds locks": (
        "{statement};  -- 在数据库中执行，然后结束持有锁的会话"
    ),
    "loops fail: {loops}": "循环失败：{loops}",
    "no reason is known, and no instance has anything in hand: somebody may hold locks on its rows": (
        "原因不明，没有实例手头有任务：可能有人锁住了它的行"
    ),
    # -- keys, cleaning, tables ---------------------------------------------------------------------------
    "the key {key}": "键 {key}",
    "the key {key}, and of {count} more key,": "键 {key}（及另外 {count} 个键）",
    "the key {key}, and of {count} more keys,": "键 {key}（及另外 {count} 个键）",
    "Tasks of {keys} of {type} wait for {age} behind the dead letter {letter}: the type is ordered, and a key goes on "
    "only when that is replayed, cancelled or discarded.": (
        "{type} 中{keys}的任务已等待 {age}，前面是死信 {letter}："
        "该类型有序，死信被重放、取消或丢弃之后，这个键才会继续。"
    ),
    "Tasks of {keys} of {type} wait for {age}: the first one fails and is tried again {when}, or the key has more "
    "tasks than it may send at once; other keys go on.": (
        "{type} 中{keys}的任务已等待 {age}：首个任务失败，{when}重试，"
        "或者这个键的任务多于一次可发送的数量；其他键照常进行。"
    ),
    "{status} rows of {type} are kept for {kept}, and the oldest was settled {age} ago: the cleaner does not keep up, "
    "cannot delete, or nobody owns their shards.": (
        "{type} 的 {status} 行应保留 {kept}，最早的却是 {age}前完成的：清理跟不上、无法删除，或这些分片无主。"
    ),
    "asyncflow instances list  # then let cleaning_batch be larger, or cleaning_pause_seconds shorter": (
        "asyncflow instances list  # 然后调大 cleaning_batch，或缩短 cleaning_pause_seconds"
    ),
    "None of asyncflow's tables is there, from {table} on: this is another database, they have another schema or "
    "prefix, or nobody has made them yet.": (
        "从 {table} 起，asyncflow 的表一张都没有：这是另一个数据库，或者 schema 或前缀不同，或者还没有人创建它们。"
    ),
    "asyncflow init-db --database-url URL  # makes them; where they are elsewhere, name --schema or --prefix": (
        "asyncflow init-db --database-url URL  # 创建它们；如果它们在别处，请给出 --schema 或 --prefix"
    ),
    "{difference}; schedulers of this version refuse to start, or read whole tables.": (
        "{difference}；这个版本的调度器会拒绝启动，或读取整张表。"
    ),
    "asyncflow schema check  # tells all that differs, and what mends it": (
        "asyncflow schema check  # 列出所有差异和修复办法"
    ),
    # -- dead letters -------------------------------------------------------------------------------------
    "{count} tasks of {type} became dead letters within {age}: {error}.": (
        "{type} 的 {count} 个任务在 {age}内成为死信：{error}。"
    ),
    "{count} or more tasks of {type} became dead letters within {age}: {error}.": (
        "{type} 至少有 {count} 个任务在 {age}内成为死信：{error}。"
    ),
    "{count} task of {type} became a dead letter within {age}: {error}.": (
        "{type} 的 {count} 个任务在 {age}内成为死信：{error}。"
    ),
    "asyncflow dead-letters show --id {id}  # when it is mended: asyncflow dead-letters replay --group {group} --yes": (
        "asyncflow dead-letters show --id {id}  # 修好之后：asyncflow dead-letters replay --group {group} --yes"
    ),
    # -- instances ----------------------------------------------------------------------------------------
    "The clock of {host} is {age} ahead of the database's: due times go by the database's, but logs and what handlers "
    "write by their own.": (
        "{host} 的时钟比数据库快 {age}：到期时间以数据库为准，但日志和处理函数写入的时间用它自己的时钟。"
    ),
    "The clock of {host} is {age} behind the database's: due times go by the database's, but logs and what handlers "
    "write by their own.": (
        "{host} 的时钟比数据库慢 {age}：到期时间以数据库为准，但日志和处理函数写入的时间用它自己的时钟。"
    ),
    "chronyc makestep  # on that host, or whatever keeps its clock": (
        "chronyc makestep  # 在那台主机上，或用其他校时工具"
    ),
    "{count} settle of {instance} changed nothing, for others owned the shards by then or had settled the rows: it "
    "paused for longer than its lease, or two instances have one instance_index.": (
        "{instance} 有 {count} 次结果写入没有生效，因为当时分片已属于别的实例，或这些行已有结果：它停顿得比租约还久，"
        "或两个实例用了同一个 instance_index。"
    ),
    "{count} settles of {instance} changed nothing, for others owned the shards by then or had settled the rows: it "
    "paused for longer than its lease, or two instances have one instance_index.": (
        "{instance} 有 {count} 次结果写入没有生效，因为当时分片已属于别的实例，或这些行已有结果：它停顿得比租约还久，"
        "或两个实例用了同一个 instance_index。"
    ),
    "A loop of {instance} waited in vain for a connection of the pool: it is too small, or the application keeps its "
    "connections.": "{instance} 的一个循环没有等到连接池的连接：连接池太小，或应用占着连接不放。",
    "Loops of {instance} waited {count} times in vain for a connection of the pool: it is too small, or the "
    "application keeps its connections.": (
        "{instance} 的循环有 {count} 次没有等到连接池的连接：连接池太小，或应用占着连接不放。"
    ),
    "{instance} can archive nothing, so it deletes and drops nothing: {error}.": (
        "{instance} 无法归档，因此不删除任何行，也不删除任何表：{error}。"
    ),
    "Roll-over cannot take its next step in {instance}, and tries again: {error}.": (
        "{instance} 的滚表做不了下一步，会再次尝试：{error}。"
    ),
    "asyncflow roll-over show  # what mends each reason is on the page of roll-over": (
        "asyncflow roll-over show  # 滚表一页说明每种原因的解决办法"
    ),
    "df -h DIRECTORY  # make room, or give the right to write; it goes on by itself": (
        "df -h DIRECTORY  # 腾出空间，或授予写权限；之后会自行继续"
    ),
    "create_engine(..., pool_size=20)  # or give the scheduler an engine of its own": (
        "create_engine(..., pool_size=20)  # 或给调度器单独的 engine"
    ),
    "The loop {loop} of {instance} has failed {count} times in a row: {error}.": (
        "{instance} 的循环 {loop} 已连续失败 {count} 次：{error}。"
    ),
    "asyncflow instances list --json  # and the log of that process has the traceback": (
        "asyncflow instances list --json  # 该进程的日志中有 traceback"
    ),
    "The instances are of different versions: {versions}. During a deployment that is as it should be.": (
        "各实例的版本不同：{versions}。部署期间这是正常的。"
    ),
    "The instances have different settings: {settings}.": "各实例的设置不同：{settings}。",
    "Claims of {count} tasks of {type} ran out within the last hour: {why}.": (
        "最近一小时内，{type} 有 {count} 个任务的认领到期：{why}。"
    ),
    "their workers died, hung or were cut off": "它们的 worker 已退出、卡住或断开",
    "the task {id} may kill its worker: it was begun once": "任务 {id} 可能使 worker 崩溃：它已开始过一次",
    "the task {id} may kill its worker: it was begun {count} times": (
        "任务 {id} 可能使 worker 崩溃：它已开始过 {count} 次"
    ),
    # -- one task -----------------------------------------------------------------------------------------
    "It has happened, {age} ago{attempt}.": "它已完成，在 {age}前{attempt}。",
    ", at attempt {count}": "，第 {count} 次尝试",
    "It was cancelled {age} ago and will not happen{because}.": "它在 {age}前被取消，不会再执行{because}。",
    "It is a dead letter since {age}, after {count} attempt{because}.": (
        "它成为死信已 {age}，共尝试 {count} 次{because}。"
    ),
    "It is a dead letter since {age}, after {count} attempts{because}.": (
        "它成为死信已 {age}，共尝试 {count} 次{because}。"
    ),
    "; the last entry of its log: {error}": "；日志的最后一条：{error}",
    ", which is no instance that runs: a worker of a task service, or one that has died": (
        "（不是运行中的实例：是任务服务的 worker，或已退出的实例）"
    ),
    "{owner}{gone} is at work on it, attempt {count}, and was heard of {age} ago{hang}; if nothing more is heard, the "
    "task is given back in {left}.": (
        "{owner}{gone}正在处理它，第 {count} 次尝试，最近一次得到它的消息是 {age}前{hang}；"
        "如果再没有消息，任务将在 {left}后交还。"
    ),
    "; all handlers of its type are at work there, the longest for {age}, and {count} claimed task waits for them, "
    "which may be this one": (
        "；该类型在那里的处理函数都在工作，最久的已 {age}，另有 {count} 个已认领的任务在等它们，可能就是这一个"
    ),
    "; all handlers of its type are at work there, the longest for {age}, and {count} claimed tasks wait for them, "
    "of which this may be one": (
        "；该类型在那里的处理函数都在工作，最久的已 {age}，另有 {count} 个已认领的任务在等它们，可能包括这一个"
    ),
    "; all handlers of its type are at work there, the longest for {age}": (
        "；该类型在那里的处理函数都在工作，最久的已 {age}"
    ),
    "{owner} claimed it {age} ago, and the claim ran out {late} ago; the monitor of the instance that owns shard "
    "{shard} gives it back{nobody}.": (
        "{owner} 在 {age}前认领了它，认领已于 {late}前到期；分片 {shard} 所属实例的监视器会把它交还{nobody}。"
    ),
    ", and nobody owns that shard": "，而该分片无主",
    "It is not due yet: it was enqueued with a delay, which ends in {age}.": (
        "它还没有到期：入队时带有延迟，还有 {age}。"
    ),
    "It was put off, which spends no attempt, and is tried again in {age}{because}.": (
        "它被推迟了，不计入尝试次数，{age}后再次执行{because}。"
    ),
    "It failed once and is tried again in {age}{because}.": "它失败了一次，{age}后重试{because}。",
    "It failed {count} times and is tried again in {age}{because}.": "它失败了 {count} 次，{age}后重试{because}。",
    "It stands in shard {shard}, but there are {count}: it was enqueued with another shard_count.": (
        "它在分片 {shard}，但只有 {count} 个分片：入队时的 shard_count 不同。"
    ),
    "asyncflow reshard MODULE:SCHEDULER  # while no scheduler runs": (
        "asyncflow reshard MODULE:SCHEDULER  # 在没有调度器运行时"
    ),
    "It is due since {age} and next in its lane; {owner} owns shard {shard} and takes it soon.": (
        "它到期已 {age}，是通道中的下一个；分片 {shard} 属于 {owner}，很快会取走它。"
    ),
    "It is due since {age}; {many} of its lane goes before it, and {owner} owns shard {shard}.": (
        "它到期已 {age}；通道中有 {many} 排在它前面，分片 {shard} 属于 {owner}。"
    ),
    "It is due since {age}; {many} of its lane go before it, and {owner} owns shard {shard}.": (
        "它到期已 {age}；通道中有 {many} 排在它前面，分片 {shard} 属于 {owner}。"
    ),
    "Its type is ordered, and its key {key} waits behind the dead letter {letter}: it goes on when that is replayed, "
    "cancelled or discarded.": "它的类型有序，它的键 {key} 在等死信 {letter}：死信被重放、取消或丢弃之后就会继续。",
    "Its type is ordered, and its key {key} is parked since {age}: the key's first task is tried {when}, and this one "
    "in its turn{because}.": (
        "它的类型有序，它的键 {key} 已挂起 {age}：这个键的首个任务{when}重试，轮到它时再执行{because}。"
    ),
}
