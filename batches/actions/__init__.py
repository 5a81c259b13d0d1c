"""What a user may do. The API, the admin and the commands call these functions."""
