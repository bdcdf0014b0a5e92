"""RocketMQ 5: a name server, and a broker with its proxy in one process, from the jars that Maven brings."""

from __future__ import annotations

import json
from pathlib import Path

from tools.services import maven, place, ports
from tools.services.ports import LOOPBACK
from tools.services.probe import speaks_http2
from tools.services.process import Launch
from tools.services.service import Service

POM = Path(__file__).with_name("rocketmq-pom.xml")
# The broker's own port, from that of the proxy; it has the two below it and the one above it as well.
BROKER_FROM_PROXY = 5

NAME_SERVER = """\
listenPort={names}
bindAddress={host}
kvConfigPath={home}/data/kvConfig.json
configStorePath={home}/data/namesrv.properties
"""

# A message that was acknowledged is on disk; a topic is there once it was made.
BROKER = """\
brokerClusterName=DefaultCluster
brokerName=asyncflow
brokerId=0
brokerIP1={host}
listenPort={broker}
bindAddress={host}
namesrvAddr={host}:{names}
storePathRootDir={home}/data
storePathCommitLog={home}/data/commitlog
mappedFileSizeCommitLog=67108864
mappedFileSizeConsumeQueue=600000
flushDiskType=SYNC_FLUSH
brokerRole=ASYNC_MASTER
autoCreateTopicEnable=false
diskMaxUsedSpaceRatio=99
"""

# The name server ends with the broker, and the broker with this shell.
SCRIPT = """\
home=$1 classes=$2; shift 2
"$@" -Xms32m -Xmx128m -cp "$classes" org.apache.rocketmq.namesrv.NamesrvStartup -c "$home/names.conf" & names=$!
"$@" -Xms256m -Xmx512m -XX:MaxDirectMemorySize=512m -cp "$classes" org.apache.rocketmq.proxy.ProxyStartup \\
    -pm LOCAL -bc "$home/broker.conf" -pc "$home/proxy.json" & broker=$!
trap 'kill -TERM $broker' TERM
wait $broker; wait $broker
kill $names
"""
JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
)


class RocketMQ(Service):
    """A broker of RocketMQ, and the proxy by which clients of version 5 reach it."""

    name = "rocketmq"
    title = "RocketMQ"
    variable = "ASYNCFLOW_TEST_ROCKETMQ_URL"
    usual_port = 8081
    deadline_seconds = 90.0

    def address(self, port: int) -> str:
        """Return where the proxy's gRPC is, and as ``broker`` where the tests ask the broker itself."""
        return f"rocketmq://{LOOPBACK}:{port}?broker={LOOPBACK}:{port + BROKER_FROM_PROXY}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the proxy begins a connection, which it does once the broker has started."""
        return speaks_http2(host, port)

    def version(self) -> str:
        """Return the broker's name and version."""
        return f"Apache RocketMQ {maven.version_in(POM, 'rocketmq-broker')}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the jars, which all servers of the checkout share, and the configuration; return how to start."""
        java, shared = maven.java(), place.STATE / self.name
        shared.mkdir(parents=True, exist_ok=True)
        classes = f"{maven.jars(POM, shared)}/*"
        (home / "data").mkdir(exist_ok=True)
        (home / "conf").mkdir(exist_ok=True)
        where = {"host": LOOPBACK, "home": home, "names": ports.choose(), "broker": port + BROKER_FROM_PROXY}
        (home / "names.conf").write_text(NAME_SERVER.format(**where))
        (home / "broker.conf").write_text(BROKER.format(**where))
        (home / "proxy.json").write_text(_proxy(port, f"{LOOPBACK}:{where['names']}"))
        variables = [f"ROCKETMQ_HOME={home}", f"NAMESRV_ADDR={LOOPBACK}:{where['names']}"]
        its = [f"-Duser.home={home}", f"-Drocketmq.log.root={home / 'logs'}", *JAVA_OPTIONS]
        return Launch(command=["env", *variables, "sh", "-c", SCRIPT, "sh", str(home), classes, java, *its])


def _proxy(port: int, names: str) -> str:
    """Return the proxy's configuration; of two ports the second is for clients of version 4."""
    return json.dumps(
        {
            "rocketMQClusterName": "DefaultCluster",
            "namesrvAddr": names,
            "grpcServerPort": port,
            "remotingListenPort": ports.choose(),
            "localServeAddr": LOOPBACK,
        }
    )
