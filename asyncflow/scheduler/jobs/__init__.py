"""Jobs in the manner of ElasticJob: sharded work over the user's own tables; the outbox's relay is one of them."""

from asyncflow.scheduler.jobs.context import ShardingContext, ShareContext
from asyncflow.scheduler.jobs.job import DataflowJob, Job, SimpleJob
from asyncflow.scheduler.jobs.listeners import JobListener
from asyncflow.scheduler.jobs.settings import JobSettings

__all__ = ["DataflowJob", "Job", "JobListener", "JobSettings", "ShardingContext", "ShareContext", "SimpleJob"]
