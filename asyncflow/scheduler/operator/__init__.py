"""What a person looks at and changes: dead letters, tasks, the report, the audit."""
