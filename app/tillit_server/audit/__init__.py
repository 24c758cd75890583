"""What happened, and the proof that nothing was taken out or changed afterwards.

This room owns the closed list of events (`events`), their chaining and verification (`chain`), the encryption
of their personal members and the search for persons (`log`), and the counting of refusals (`refusals`). It
stores nothing itself: entries travel in a settlement and are linked inside the store's commit. Ordinary
logging is not the audit, and carries no personal data.
"""
