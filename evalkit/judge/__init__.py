"""Apply rubrics with judges that are checked."""
