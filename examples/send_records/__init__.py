"""A job over the application's own table: what an ElasticJob dataflow job becomes."""
