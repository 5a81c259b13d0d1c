"""The users of the project, whatever model it has for them."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import User
else:
    # All that every model of users is.
    from django.contrib.auth.base_user import AbstractBaseUser as User

__all__ = [
    "User",
    "active_users",
    "all_users",
    "check_new_user",
    "has_field",
    "is_staff",
    "is_superuser",
    "user_named",
    "username_lookup",
]


def all_users() -> QuerySet[User]:
    """Return every user, also ones that a manager of the project leaves out."""
    return get_user_model()._base_manager.all()


def active_users() -> QuerySet[User]:
    """Return the users who may log in, by the names that they log in with."""
    users = get_user_model()._default_manager.order_by(get_user_model().USERNAME_FIELD)
    return users.filter(is_active=True) if has_field("is_active") else users


def user_named(name: str) -> User | None:
    """Return the user who logs in with this name."""
    users = get_user_model()
    return users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()


def check_new_user(name: str) -> None:
    """Raise ValidationError unless a user of this name can be made of the name alone."""
    users = get_user_model()
    users(**{users.USERNAME_FIELD: name}).full_clean(exclude=["password"])


def has_field(name: str) -> bool:
    """Return True if users have a column of this name."""
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def username_lookup(relation: str) -> str:
    """Return the lookup of the name that the user in a relation logs in with."""
    return f"{relation}__{get_user_model().USERNAME_FIELD}"


def is_staff(user: Any) -> bool:
    """Return True for staff; a project's model may know none."""
    return bool(getattr(user, "is_staff", False))


def is_superuser(user: Any) -> bool:
    """Return True for a superuser; a project's model may know none."""
    return bool(getattr(user, "is_superuser", False))
