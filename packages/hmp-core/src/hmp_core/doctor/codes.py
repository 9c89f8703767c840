"""The kinds of findings that the core knows, grouped by what they are about."""

from __future__ import annotations

from hmp_core.doctor.findings import Code

_REBUILD = "rebuild it: `hmp {verb} rebuild`"

# ── the database file ────────────────────────────────────────────────────────────────────────────────

ABSENT = Code("database-absent", "info", "There is no database there yet.", "nothing: it is made when it is needed")
MISSING = Code(
    "database-missing",
    "error",
    "The database is gone, but its log, its files or its backups are there.",
    "make it again: `hmp {verb} rebuild`",
)
EMPTY = Code("database-empty", "error", "The database file has no bytes at all.", _REBUILD)
DAMAGED = Code(
    "database-damaged", "error", "The engine cannot read the database: garbage, truncated or bit-flipped.", _REBUILD
)
FOREIGN = Code(
    "database-foreign",
    "error",
    "The file is a database of something else.",
    "move it away, then make ours again: `hmp {verb} rebuild`",
)
NEWER = Code(
    "database-newer", "error", "The database was written by a newer hmp.", "upgrade the packages of hmp on this machine"
)
OLDER = Code("database-older", "warning", "The database was written by an older hmp.", "upgrade it: `hmp db upgrade`")
EDITED = Code(
    "migration-changed",
    "error",
    "A migration that was applied differs from the one that is installed, or the ledger has a gap.",
    "install the release that wrote the database, or make it again from its files: `hmp {verb} rebuild`",
)
LINKED = Code(
    "database-linked",
    "info",
    "The path is a symbolic link; lock, log and backups lie beside what it points to.",
    "nothing, if it is meant so",
)
BROKEN_LINK = Code(
    "database-link-broken",
    "error",
    "The path is a symbolic link that leads nowhere.",
    "mount what it points to, or remove the link",
)
HARD_LINKED = Code(
    "database-hard-linked",
    "warning",
    "The file has several names, each with a lock of its own: it is read, and not written, until it has one.",
    "remove the other names, or copy the file there by `hmp db backup`",
)
NOT_WRITABLE = Code(
    "not-writable",
    "warning",
    "This user may not write the database, its folder or its log: reading answers from the last fold.",
    "ask the owner, or `chown`/`chmod` it, if you should be able to write",
)
NOT_READABLE = Code(
    "not-readable", "error", "This user may not read it.", "ask the owner, or `chown`/`chmod` it, if you should"
)
OWNERS = Code(
    "owners-differ",
    "info",
    "The database, its lock or its log belong to another user than the folder they lie in.",
    "`chown` them to the owner of the folder, unless they are shared on purpose",
)
WAL_DAMAGED = Code(
    "wal-damaged",
    "error",
    "The write-ahead log of the database cannot be replayed.",
    "open the database as usual: it is set aside, and what it held is folded again from files and log",
)
WAL_ALONE = Code(
    "wal-orphan",
    "warning",
    "A write-ahead log lies there without its database.",
    "`hmp {verb} rebuild` moves it aside and makes the database from its files",
)
WAL_ASIDE = Code(
    "wal-set-aside",
    "warning",
    "A write-ahead log that could not be replayed, or had no database, was set aside.",
    "`hmp db verify --deep` tells whether anything is missing; then remove it",
)
LEFTOVER = Code(
    "leftover",
    "info",
    "Something that a killed process was making; it is never read.",
    "nothing: whoever next does the same work removes it, and so may you",
)

BAD_MARKER = Code(
    "marker-damaged",
    "error",
    "The file that makes a folder a workspace or a project cannot be read.",
    'mend it; it should hold id = "<uuid>" and name = "..."',
)

# ── the lock ─────────────────────────────────────────────────────────────────────────────────────────

HELD = Code(
    "lock-held", "info", "Somebody holds the lock of the database now.", "nothing: it is given back in a moment"
)
HELD_LONG = Code(
    "lock-held-long",
    "warning",
    "Somebody has held the lock for more than ten minutes, or it cannot be told who holds it.",
    "look at that process; `hmp db unlock` tells more",
)
BUSY = Code(
    "database-busy",
    "warning",
    "The database was in use for as long as was waited: what it says was not examined.",
    "run it again when that process is done, or with a longer --wait",
)

# ── the log ──────────────────────────────────────────────────────────────────────────────────────────

PENDING = Code(
    "log-pending", "info", "Segments of the log are in use or left; a fold takes them in.", "nothing, or `hmp db fold`"
)
LEFT = Code(
    "log-left",
    "warning",
    "Events have waited for more than a day in segments whose processes have ended.",
    "`hmp db fold`; if that is refused, its message says why",
)
UNFOLDED = Code("log-unfolded", "info", "Acknowledged events are not in the tables yet.", "nothing, or `hmp db fold`")
REJECTED = Code(
    "log-rejected",
    "warning",
    "Pieces of the log could not be decoded and were set aside.",
    "compare them with a backup of the log; remove them when nothing can be saved of them",
)
LOG_DAMAGED = Code(
    "log-damaged",
    "error",
    "A file of the log holds bytes that are no event: their checksum or length is wrong.",
    "put the file from a backup in its place, then `hmp {verb} rebuild`",
)
GAP = Code(
    "log-gap",
    "warning",
    "Numbers are missing in the sequence of a writer: lines were taken out of the log.",
    "compare the files of the log with a backup",
)
LOST = Code(
    "log-lost",
    "error",
    "The database has read files of the log that are gone, or shorter than they were.",
    "put them back from a backup; until then do not rebuild: what only they told would be lost",
)
WAITING = Code(
    "events-waiting",
    "warning",
    "Events could not become rows yet: they wait for a file, a parent or a newer hmp.",
    "the reason says what they wait for; `hmp db waiting` lists them",
)
AHEAD = Code(
    "clock-ahead",
    "warning",
    "Events carry a time more than an hour ahead of now: the clock of the machine that wrote them was wrong, or this "
    "one is.",
    "set the clocks (NTP); later events are ordered behind them all the same",
)
BEHIND = Code(
    "clock-behind",
    "warning",
    "Events were written by a clock that ran more than an hour behind what its process had seen.",
    "set the clock of that machine (NTP); the order of events is right, the times shown are not",
)

# ── what the database says ───────────────────────────────────────────────────────────────────────────

ORPHAN_ROWS = Code(
    "parent-missing",
    "error",
    "Rows name a row of another table that is not there: what a foreign key would have refused.",
    _REBUILD,
)
ELSEWHERE = Code(
    "parent-elsewhere",
    "info",
    "Rows name something that is not in this database, and need not be.",
    "nothing, if it was purged or lies in another project",
)
UNKNOWN_VALUE = Code(
    "value-unknown",
    "warning",
    "A column holds a word that this hmp does not know.",
    "upgrade hmp, if a newer one has written it",
)
BACKUPS = Code("backups", "info", "How many backups there are, and how old the newest is.", "`hmp db backup`")
NO_BACKUP = Code(
    "backup-none", "info", "There is no backup of a database that cannot be downloaded again.", "`hmp db backup`"
)
BACKUP_DAMAGED = Code(
    "backup-damaged", "warning", "A backup cannot be opened.", "remove it and make another: `hmp db backup`"
)
REFUSED = Code(
    "writes-refused",
    "info",
    "The policy has refused writes.",
    "nothing, if the policy is right; else mend the policy file",
)
DENIED = Code(
    "access-denied", "warning", "The policy does not let this user read the database.", "ask who keeps the policy"
)
POLICY = Code(
    "policy-unreadable",
    "error",
    "The policy, or the workspace.toml that names it, cannot be read: nobody is allowed anything.",
    "mend the file that the message names",
)
SCOPE_MISSING = Code(
    "scope-missing",
    "warning",
    "The package that this database belongs to is not installed: its content was not examined.",
    "install it",
)
FAILED = Code(
    "check-failed", "error", "Something kept a check from being made.", "the message says what; mend it and run again"
)

# ── the machine ──────────────────────────────────────────────────────────────────────────────────────

ENGINE = Code(
    "engine-unsupported",
    "error",
    "The installed DuckDB is one that hmp is not made for; 2.0 can lose committed data.",
    'install one that fits: `pip install "duckdb>=1.5.5,<2"`',
)
VERSIONS = Code(
    "versions-mismatch",
    "warning",
    "An installed package is missing, or of a version that another of hmp does not fit.",
    "install versions that fit one another",
)
NETWORK = Code(
    "filesystem-network",
    "warning",
    "A database lies on a network file system, where locks may not hold between hosts.",
    'let one host fold: [fold] host = "..." in workspace.toml, or HMP_FOLD=never on all others',
)
ONE_HOST = Code(
    "filesystem-one-host", "info", "The workspace names the one host that folds.", "nothing, if that host is in use"
)
HOST_UNKNOWN = Code(
    "fold-host-unreadable",
    "error",
    "What workspace.toml says of the host that folds cannot be understood: nobody folds.",
    'mend it: [fold] host = "the name of one machine"',
)
READ_ONLY = Code(
    "filesystem-read-only", "info", "A database lies on a file system that is mounted read-only.", "nothing"
)
VOLATILE = Code(
    "filesystem-volatile",
    "info",
    "A database lies in memory: it is gone when the machine is switched off.",
    "move the workspace to a disk, if it is to stay",
)
SPACE = Code(
    "space-low",
    "warning",
    "There is little free space: a backup or a rebuild may not fit.",
    "make room on that file system",
)
CLOCK = Code(
    "clock-implausible",
    "warning",
    "The clock of this machine cannot be right.",
    "set the clock (NTP) before anything is recorded",
)

# ── hmp db verify ────────────────────────────────────────────────────────────────────────────────────

SCHEMA_DIFFERS = Code(
    "schema-differs",
    "error",
    "Tables, columns, types, indexes or views are not those that the migrations make.",
    _REBUILD,
)
KEY_TWICE = Code("key-twice", "error", "A key is in a table more than once: its index is damaged.", _REBUILD)
ROWS_DIFFER = Code(
    "rows-differ",
    "error",
    "Rows are not those that the files and the log give when they are folded from zero.",
    "if `log-lost` is found too, put the log back first: a rebuild loses what only the database knows; else "
    + _REBUILD,
)
NOT_COMPARED = Code(
    "rows-not-compared",
    "warning",
    "The log was not folded to its end, so that rows could not be compared with it.",
    "`hmp db fold`, then verify again",
)

ALL: tuple[Code, ...] = tuple(value for value in list(vars().values()) if isinstance(value, Code))
