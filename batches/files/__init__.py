"""Store the files of users, whole or uploaded in parts."""
