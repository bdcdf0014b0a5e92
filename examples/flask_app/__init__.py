"""A Flask application with Flask-SQLAlchemy and gunicorn; docs/flask.md walks through it."""
