"""manage.py create_token: create an API token for a user."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.utils import timezone

from batches.engine.text.wording import quoted
from batches.management.bulk.usage import UsageCommand, UsageError, whole_number
from batches.management.database import check_database
from batches.secrets.tokens import create_token
from batches.users import User, check_new_user, user_named

LONGEST_DAYS = 36_500
LONGEST_NAME = 100

EPILOG = """\
Only the token is written to standard output:
  export OPENAI_API_KEY=$(python manage.py create_token alice)

The token is shown only once; only a hash is stored. A missing user is created without a password.
exit status: 0, or 2 if the user cannot have a token or the database cannot be used.
"""


class Command(UsageCommand):
    help = "Create an API token and print it."
    epilog = EPILOG

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("username", help="owner of the token; created if there is no such user")
        add("--name", default="", help="a label to recognise the token")
        add(
            "--expires-in-days",
            type=whole_number(1, LONGEST_DAYS),
            metavar="N",
            help="days until the token expires (default: never)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if len(options["name"]) > LONGEST_NAME:
            raise UsageError(f"--name has more than {LONGEST_NAME} characters; give a shorter one")
        check_database()
        user = self.user(options["username"])
        life = options["expires_in_days"]
        expires_at = timezone.now() + timedelta(days=life) if life else None
        self.stdout.write(create_token(user, name=options["name"], expires_at=expires_at))
        self.stderr.write("Shown only once; only a hash is stored.")

    def user(self, username: str) -> User:
        """Return the user of this name; create the user if missing."""
        found = user_named(username)
        if found is None:
            check_username(username)
            self.stderr.write(f"Created the user {username}, without a password.")
            users = get_user_model()
            return users._default_manager.create_user(**{users.USERNAME_FIELD: username})
        if not found.is_active:
            raise UsageError(f"the user {username} is not active; activate it, or name another")
        return found


def check_username(username: str) -> None:
    """Raise UsageError unless a user of this name can be made of the name alone."""
    try:
        check_new_user(username)
    except ValidationError as error:
        wrong = error.message_dict
        if about_name := wrong.get(get_user_model().USERNAME_FIELD):
            raise UsageError(f"{quoted(username)} cannot be a username: {about_name[0]}") from error
        raise UsageError(
            f"there is no user {quoted(username)}, and a new one needs more than a name "
            f"({', '.join(wrong)}); create the user, then make the token"
        ) from error
