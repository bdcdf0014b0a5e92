"""A FastAPI application with its scheduler inside; docs/fastapi.md walks through it."""
