"""Commands by which a person looks at tasks, instances, shards, jobs, and changes them."""
