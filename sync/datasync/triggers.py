"""The settings head moves by itself: database triggers on every synchronised settings table.

They raise `head_seq` of the role journal in the transaction of the change, so no way of writing (page, bulk update,
many-to-many, shell) can forget it. Only a real change of a synchronised column counts, so a log-in does not.
On a backup the head names the snapshot it holds, so there the triggers leave it alone. What is remembered of the table
(`remembered.py`) is forgotten.

They also refuse the change where this appliance may not change settings, but within a data-sync's own transaction. Who
asked the gate and writes a moment later meets the role as it is then: the row of the role journal is written with every
change, so on either database a change waits for a role change that is being committed, and the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.backends.base.base import BaseDatabaseWrapper

from appliances import settings_lock
from appliances.choices import State
from sync.datasync.registry import SETTINGS, Dataset
from sync.datasync.rows import column_of, kind_of
from sync.models import RoleJournal, SettingsDigest
from sync.rules.facts import BACKUP_STATES, WRITABLE_STATES

PREFIX = "settings_head_"
FUNCTION = "settings_head_moves"
NAMES_FUNCTION = "permission_names_move"
NAMED_BY = (Permission._meta.db_table, ContentType._meta.db_table)


def install(connection: BaseDatabaseWrapper) -> None:
    """Every settings table there is has its triggers, made from the registry; those of before are replaced."""
    remove(connection)
    tables = set(connection.introspection.table_names())
    if not {RoleJournal._meta.db_table, SettingsDigest._meta.db_table, *NAMED_BY} <= tables:
        return
    # What was written while there were no triggers is not known: everything is read again.
    make = _sqlite if connection.vendor == "sqlite" else _postgresql
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {_move(connection)}; {_forget(connection, 'TG_ARGV[0]')}; "
                f"IF EXISTS ({_refusing(connection)}) THEN "
                f"RAISE EXCEPTION '{settings_lock.REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; "
                "END IF; RETURN NULL; END $$"
            )
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {NAMES_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {_renamed(connection)}; RETURN NULL; END $$"
            )
        for dataset in (dataset for dataset in SETTINGS if dataset.table in tables):
            for statement in make(connection, dataset):
                cursor.execute(statement)
        for table in NAMED_BY:
            for statement in _names(connection, table):
                cursor.execute(statement)
        cursor.execute(f"DELETE FROM {connection.ops.quote_name(SettingsDigest._meta.db_table)}")  # noqa: S608


def remove(connection: BaseDatabaseWrapper) -> None:
    """No trigger is left, so that a migration may rebuild any table."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute(
                "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE NOT t.tgisinternal AND n.nspname = current_schema()"
            )
        for name, table in cursor.fetchall():
            if name.startswith(PREFIX):
                where = "" if connection.vendor == "sqlite" else f" ON {quote(table)}"
                cursor.execute(f"DROP TRIGGER {quote(name)}{where}")


def _listed(states: Collection[State]) -> str:
    return ", ".join(f"'{state.value}'" for state in sorted(states, key=list(State).index))


def _refusing(connection: BaseDatabaseWrapper, what: str = "1") -> str:
    """A row where settings may not be changed. After `_move`, which holds the row."""
    quote = connection.ops.quote_name
    return (
        f"SELECT {what} FROM {quote(RoleJournal._meta.db_table)} WHERE {quote('id')} = 1 "  # noqa: S608
        f"AND NOT {quote('settings_open')} AND {quote('state')} NOT IN ({_listed(WRITABLE_STATES)})"
    )


def _move(connection: BaseDatabaseWrapper) -> str:
    quote = connection.ops.quote_name
    backup = _listed(BACKUP_STATES)
    return (
        f"UPDATE {quote(RoleJournal._meta.db_table)} SET {quote('settings_writes')} = {quote('settings_writes')} + 1, "  # noqa: S608
        f"{quote('head_seq')} = {quote('head_seq')} + CASE WHEN {quote('state')} IN ({backup}) THEN 0 ELSE 1 END "
        f"WHERE {quote('id')} = 1"
    )


def _forget(connection: BaseDatabaseWrapper, *labels: str) -> str:
    """What is remembered of these tables (SQL expressions) goes."""
    quote = connection.ops.quote_name
    table, column = quote(SettingsDigest._meta.db_table), quote("dataset")
    return f"DELETE FROM {table} WHERE {column} IN ({', '.join(labels)})"  # noqa: S608


def _quoted(label: str) -> str:
    return f"'{label}'"


def _with_permissions() -> list[str]:
    """The tables whose rows name permissions, which travel by name though their numbers are stored."""
    return [
        dataset.label
        for dataset in SETTINGS
        if any(kind_of(field, False) == "permission" for field in dataset.model_fields)
    ]


def _renamed(connection: BaseDatabaseWrapper) -> str:
    """What is remembered of the tables that name permissions goes, also what is just being read of them."""
    quote = connection.ops.quote_name
    journal, writes = quote(RoleJournal._meta.db_table), quote("settings_writes")
    moved = f"UPDATE {journal} SET {writes} = {writes} + 1 WHERE {quote('id')} = 1"  # noqa: S608
    return f"{moved}; {_forget(connection, *map(_quoted, _with_permissions()))}"


def _names(connection: BaseDatabaseWrapper, table: str) -> Iterator[str]:
    """Permissions have other names: no change of the settings, whose head stays, but other lines."""
    quote = connection.ops.quote_name
    for case in ("update", "delete"):
        begin = f"CREATE TRIGGER {quote(f'{PREFIX}{table}_{case}')} AFTER {case.upper()} ON {quote(table)} FOR EACH "
        if connection.vendor == "sqlite":
            yield f"{begin}ROW BEGIN {_renamed(connection)}; END"
        else:
            yield f"{begin}STATEMENT EXECUTE FUNCTION {NAMES_FUNCTION}()"


def _columns(dataset: Dataset) -> list[str]:
    return [column_of(field) for field in dataset.model_fields]


def _sqlite(connection: BaseDatabaseWrapper, dataset: Dataset) -> Iterator[str]:
    quote = connection.ops.quote_name
    columns = [quote(column) for column in _columns(dataset)]
    changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
    cases = {
        "insert": "AFTER INSERT",
        "delete": "AFTER DELETE",
        "update": f"AFTER UPDATE OF {', '.join(columns)}",
    }
    refuse = f"RAISE(ABORT, '{settings_lock.REFUSAL}')"
    for case, moment in cases.items():
        condition = f"WHEN {changed} " if case == "update" else ""
        yield (
            f"CREATE TRIGGER {quote(f'{PREFIX}{dataset.table}_{case}')} {moment} ON {quote(dataset.table)} "
            f"FOR EACH ROW {condition}BEGIN {_move(connection)}; {_forget(connection, _quoted(dataset.label))}; "
            f"{_refusing(connection, refuse)}; END"
        )


def _postgresql(connection: BaseDatabaseWrapper, dataset: Dataset) -> Iterator[str]:
    quote = connection.ops.quote_name
    table = quote(dataset.table)
    changed = " OR ".join(f"OLD.{quote(c)} IS DISTINCT FROM NEW.{quote(c)}" for c in _columns(dataset))
    cases = {
        "write": "AFTER INSERT OR DELETE ON {} FOR EACH ROW",
        "update": f"AFTER UPDATE ON {{}} FOR EACH ROW WHEN ({changed})",
        "truncate": "AFTER TRUNCATE ON {} FOR EACH STATEMENT",
    }
    for case, moment in cases.items():
        name = quote(f"{PREFIX}{dataset.table}_{case}")
        yield f"CREATE TRIGGER {name} {moment.format(table)} EXECUTE FUNCTION {FUNCTION}('{dataset.label}')"
