"""The instances of one application: members, leases, shards and who owns them."""
