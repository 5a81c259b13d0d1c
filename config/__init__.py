"""The project: settings, URLs, and the apps of the web server and of Celery."""
