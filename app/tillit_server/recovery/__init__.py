"""A copy of what lasts, put by and put back: backups, and what a restore must do so that nothing revives.

``manifest`` says what a backup holds, ``archive`` is its file, ``examining`` opens it without restoring,
``restoring`` puts it in place of nothing or of what was there, ``afterwards`` reads in the audit of a lost
store what happened after the backup.
"""
