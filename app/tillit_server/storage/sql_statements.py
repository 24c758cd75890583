"""What `sql_commit` says to the database."""

# Arrays travel in binary form (%b): as text, each octet is two characters to write and to read.
HEAD = "SELECT seq, link FROM journal WHERE slot = %(slot)s ORDER BY seq DESC LIMIT 1"
LOCK = "SELECT pg_advisory_xact_lock(name) FROM unnest(CAST(%(names)b AS bigint[])) AS name"
FOUND = (
    "SELECT kind, key, version, until FROM record"
    " JOIN unnest(CAST(%(kinds)b AS text[]), CAST(%(keys)b AS bytea[])) AS asked (kind, key)"
    " USING (kind, key)"
    " UNION ALL SELECT kind, NULL, version, NULL FROM removed WHERE kind = ANY(CAST(%(kinds)b AS text[]))"
)
WRITE = (
    "INSERT INTO record (kind, key, value, version, until)"
    " SELECT * FROM unnest(CAST(%(kinds)b AS text[]), CAST(%(keys)b AS bytea[]), CAST(%(sealed)b AS bytea[]),"
    " CAST(%(versions)b AS bigint[]), CAST(%(untils)b AS double precision[]))"
    " ON CONFLICT (kind, key) DO UPDATE"
    " SET value = excluded.value, version = excluded.version, until = excluded.until"
)
DELETE = (
    "DELETE FROM record USING"
    " unnest(CAST(%(kinds)b AS text[]), CAST(%(keys)b AS bytea[])) AS gone (kind, key)"
    " WHERE record.kind = gone.kind AND record.key = gone.key"
)
REMOVED = (
    "INSERT INTO removed (kind, version)"
    " SELECT * FROM unnest(CAST(%(kinds)b AS text[]), CAST(%(versions)b AS bigint[]))"
    " ON CONFLICT (kind) DO UPDATE SET version = greatest(removed.version, excluded.version)"
)
# A guard is held by a lock on its row until the commit: who moves it comes before us, and is seen, or after.
HELD = "SELECT version FROM record WHERE kind = %(guard)s AND key = %(guarded)b FOR SHARE"
ENTER = (
    "WITH held AS (SELECT FROM record WHERE kind = CAST(%(guard)s AS text) AND key = %(guarded)b"
    " AND version = %(expected)s FOR SHARE),"
    " sound AS (SELECT CAST(%(guard)s AS text) IS NULL OR EXISTS (SELECT FROM held) AS so),"
    " entered AS (INSERT INTO journal (slot, seq, public, sealed, link)"
    " SELECT %(slot)s, %(before)s + entry.at, entry.public, entry.sealed, entry.link FROM"
    " unnest(CAST(%(publics)b AS bytea[]), CAST(%(sealed)b AS bytea[]), CAST(%(links)b AS bytea[]))"
    " WITH ORDINALITY AS entry (public, sealed, link, at), sound WHERE sound.so),"
    " named AS (INSERT INTO label (period, label, slot, seq)"
    " SELECT (CAST(%(periods)b AS text[]))[named.at], named.label, %(slot)s, %(before)s + named.at FROM"
    " unnest(CAST(%(labels)b AS bytea[]), CAST(%(labelled)b AS integer[])) AS named (label, at), sound"
    " WHERE sound.so ON CONFLICT DO NOTHING),"
    " counted AS (INSERT INTO settled (slot, count) SELECT %(slot)s, 1 FROM sound"
    " WHERE sound.so AND %(guarding)s ON CONFLICT (slot) DO UPDATE SET count = settled.count + 1)"
    " SELECT sound.so FROM sound"
)
FORGET = (
    "DELETE FROM label WHERE ctid ="
    " ANY(ARRAY(SELECT ctid FROM label WHERE period = %(period)s LIMIT %(rows)s))"
)
