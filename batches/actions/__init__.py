"""Operations of users. The API, the admin and the commands call these functions."""
