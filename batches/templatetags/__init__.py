"""What templates of the admin can do."""
