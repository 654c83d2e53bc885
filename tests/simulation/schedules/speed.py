"""What lets thousands of schedules run in minutes: the same answers and the same statements, without working them out.

A reading function of the product that depends on nothing but certain rows gives its last answer again while those rows
are the same; they are compared each time. It passes as many `event`s as if it had asked, and does ask where something
else ran at one of them, so that a schedule goes the same way with and without this (`--plain`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, wraps
from typing import Any

from django.db import models
from django.db.models.base import ModelState
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, IsNull, LessThan, LessThanOrEqual, Lookup
from django.db.models.query import ModelIterable, QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.where import WhereNode

from appliances import selectors
from appliances.models.base import Singleton
from appliances.services import certificates, keys
from sync import journal, probes
from sync.datasync import marks, remembered, rows
from sync.datasync.registry import SETTINGS
from sync.models import SettingsDigest
from sync.peer import accept, signing
from sync.role_changes import record
from tests.simulation.schedules.appliances import here, put
from tests.simulation.schedules.seams import replace_everywhere
from tests.simulation.schedules.world import World

_JOURNAL = "SELECT * FROM sync_rolejournal"
_STATE = "SELECT state FROM sync_rolejournal"
_STATUS = "SELECT status FROM sync_peerview"
_WISHES = "SELECT * FROM appliances_backupsettings"
_KEY = "SELECT * FROM appliances_interappliancekey"
_PLAIN_LOOKUPS = (Exact, GreaterThan, GreaterThanOrEqual, IsNull, LessThan, LessThanOrEqual)


def install(world: World) -> None:
    """From now on."""
    own = "SELECT * FROM appliances_appliance"
    _remember(world, journal.read, _JOURNAL)
    _remember(world, selectors.relationship, "SELECT * FROM appliances_failoverrelationship")
    _remember(world, selectors.this_appliance, own)
    _remember(world, selectors.site, "SELECT * FROM appliances_site")
    _remember(world, selectors.inter_appliance_key, _KEY)
    _remember(world, keys.inter_appliance_secret, _KEY)
    _remember(world, certificates.own_pins, "SELECT * FROM appliances_certificate")
    _remember(world, probes.latest_status, _STATUS)
    _remember(world, probes.times, _STATUS, _STATE, _WISHES)
    _remember(world, probes.all_test_ips, _STATUS, _WISHES)
    _remember(world, accept.clock_offset, "SELECT status, answered_at FROM sync_peerview")
    _remember(world, record.running, "SELECT * FROM sync_rolechange WHERE status = 'running'")
    _remember(world, marks.held, "SELECT * FROM sync_sealedmark")
    _remember(world, rows._permission_names, "SELECT count(*) FROM auth_permission")
    tables = [*(dataset.table for dataset in SETTINGS), SettingsDigest._meta.db_table]
    _remember(world, remembered.digests, _KEY, *(f"SELECT * FROM {table}" for table in tables))
    _remember_singletons(world)
    _remember_statements()
    _build_filters()
    _skip_empty_tables(world)
    put(signing, "derive", lru_cache(keys.derive))


def _remember(world: World, real: Callable[..., Any], *reads: str) -> None:
    """Replace a function wherever it is named. Where it has arguments, they do not change the answer."""
    known: dict[str, tuple[Any, int, Any]] = {}

    def stand() -> Any:
        raw = here().raw
        return [raw.execute(sql).fetchall() for sql in reads]

    @wraps(real)
    def remembering(*args: Any, **kwargs: Any) -> Any:
        appliance = here()
        kept = known.get(appliance.name)
        if kept is not None and kept[0] == stand():
            runs = world.runs
            for passed in range(1, kept[1] + 1):
                world.event()
                if runs != world.runs:  # something else ran there: the answer may be another one
                    return world.after(passed, lambda: real(*args, **kwargs))
            return _fresh(kept[2])
        before, stood, nested = world.events, stand(), world.runs
        answer = real(*args, **kwargs)
        if nested == world.runs:  # nothing else ran in between
            known[appliance.name] = stood, world.events - before, _fresh(answer)
        return answer

    replace_everywhere(real, remembering)


def _fresh(value: Any) -> Any:
    """The value for one more reader: rows and lists are its own."""
    if isinstance(value, models.Model):
        copy = value.__class__.__new__(value.__class__)
        copy.__dict__.update(value.__dict__)
        copy._state = ModelState()
        copy._state.db, copy._state.adding = value._state.db, value._state.adding
        return copy
    return list(value) if isinstance(value, list) else value


def _remember_singletons(world: World) -> None:
    real = Singleton.load.__func__  # type: ignore[attr-defined]
    known: dict[tuple[str, type[models.Model]], tuple[Any, Any]] = {}

    def load(cls: type[Singleton], /, **initial: Any) -> Any:
        appliance = here()
        sql = f"SELECT * FROM {cls._meta.db_table} WHERE id = 1"
        kept = known.get((appliance.name, cls))
        if kept is not None and kept[0] == appliance.raw.execute(sql).fetchone():
            runs = world.runs
            world.event()
            if runs != world.runs:
                return world.after(1, lambda: real(cls, **initial))
            return _fresh(kept[1])
        row = real(cls, **initial)
        known[appliance.name, cls] = appliance.raw.execute(sql).fetchone(), _fresh(row)
        return row

    put(Singleton, "load", classmethod(load))


def _remember_statements() -> None:
    """The text of a plain statement on one table is the same for the same form of query."""
    real_sql, real_converters = SQLCompiler.as_sql, SQLCompiler.get_converters
    texts: dict[Any, tuple[str, tuple[Any, ...]]] = {}
    converters: dict[int, tuple[Any, Any]] = {}

    def as_sql(self: SQLCompiler, with_limits: bool = True, with_col_aliases: bool = False) -> Any:
        lookups: list[Lookup[Any]] = []
        form = None if with_col_aliases else _form(self, lookups)
        if form is None:
            return real_sql(self, with_limits, with_col_aliases)
        form = (form, with_limits)
        if form not in texts:
            sql, given = real_sql(self, with_limits, with_col_aliases)
            if len(given) != len(lookups):
                return sql, given
            texts[form] = sql, (self.select, self.klass_info, self.annotation_col_map, self.col_count)
            return sql, given
        sql, (self.select, self.klass_info, self.annotation_col_map, self.col_count) = texts[form]
        self.query.get_initial_alias()
        put(self, "_meta_ordering", None)
        put(self, "has_extra_select", False)
        params: list[Any] = []
        for lookup in lookups:
            params += lookup.process_rhs(self, self.connection)[1]
        return sql, tuple(params)

    def get_converters(self: SQLCompiler, expressions: Any) -> Any:
        kept = converters.get(id(self.select))
        if kept is not None and kept[0] is self.select and len(expressions) == len(self.select):
            return kept[1]
        found = real_converters(self, expressions)
        if self.select is not None and len(expressions) == len(self.select):
            converters[id(self.select)] = self.select, found
        return found

    put(SQLCompiler, "as_sql", as_sql)
    put(SQLCompiler, "get_converters", get_converters)


def _form(compiler: SQLCompiler, lookups: list[Lookup[Any]]) -> Any:
    """What the text of the statement depends on; None where that is not plain. `lookups` gets what gives parameters."""
    query: Any = compiler.query
    if type(compiler) is not SQLCompiler or not _is_plain(query):
        return None
    where = _form_of_node(query.where, lookups)
    if where is None:
        return None
    return (
        query.model,
        query.default_cols,
        tuple(column.target.attname for column in query.select),
        where,
        tuple(query.order_by),
        query.default_ordering,
        query.standard_ordering,
        query.low_mark,
        query.high_mark,
        query.select_for_update,
    )


def _is_plain(query: Any) -> bool:
    return (
        query.model is not None
        and not query.annotations
        and not query.extra
        and not query.extra_order_by
        and not query.select_related
        and not query.distinct
        and not query.combinator
        and not query.group_by
        and not query.is_empty()
        and query.deferred_loading == (frozenset(), True)
        and len(query.alias_map) <= 1
        and all(type(column) is Col for column in query.select)
        and all(isinstance(name, str) for name in query.order_by)
    )


def _form_of_node(node: WhereNode, lookups: list[Lookup[Any]]) -> Any:
    found: list[Any] = [node.connector, node.negated]
    for child in node.children:
        if type(child) is WhereNode:
            form = _form_of_node(child, lookups)
            if form is None:
                return None
            found.append(form)
            continue
        if not isinstance(child, _PLAIN_LOOKUPS) or type(child.lhs) is not Col or hasattr(child.rhs, "as_sql"):
            return None
        if isinstance(child, IsNull):
            found.append((IsNull, child.lhs.target.attname, child.rhs))
            continue
        if isinstance(child.rhs, bool):
            return None
        lookups.append(child)
        found.append((type(child), child.lhs.target.attname))
    return tuple(found)


def _build_filters() -> None:
    """A condition on one field that it equals a value is made at once."""
    real = Query.build_filter

    def build_filter(
        self: Query, expression: Any, branch_negated: bool = False, current_negated: bool = False, **more: Any
    ) -> Any:
        if type(expression) is tuple and not branch_negated and not current_negated and self.model is not None:
            name, value = expression
            field = _own_field(self.model, name)
            if field is not None and value is not None and not hasattr(value, "resolve_expression"):
                alias = self.get_initial_alias()
                node: Any = Exact(field.get_col(alias), value)
                return WhereNode([node]), [alias]
        return real(self, expression, branch_negated=branch_negated, current_negated=current_negated, **more)

    put(Query, "build_filter", build_filter)


@cache
def _own_field(model: type[models.Model], name: str) -> Any:
    """The field of this name, where it is a column of the model's own table and refers to no other."""
    for field in model._meta.concrete_fields:
        is_named = field.name == name or (name == "pk" and field.primary_key)
        if is_named and not field.is_relation and field.model is model:
            return field
    return None


def _skip_empty_tables(world: World) -> None:
    """Nothing can be found in an empty table."""
    real = QuerySet._fetch_all

    def fetch_all(self: QuerySet[Any]) -> None:
        is_asked = self._result_cache is None and self._iterable_class is ModelIterable and _is_plain(self.query)
        is_asked = is_asked and _form_of_node(self.query.where, []) is not None
        if is_asked and not here().raw.execute(f"SELECT 1 FROM {self.model._meta.db_table} LIMIT 1").fetchone():
            runs = world.runs
            world.event()
            if runs != world.runs:
                world.after(1, lambda: real(self))
                return
            self._result_cache = []
        real(self)

    put(QuerySet, "_fetch_all", fetch_all)
