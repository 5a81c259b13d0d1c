"""The REST API: the OpenAI Batch dialect under /v1. Views parse, call one service, present."""
