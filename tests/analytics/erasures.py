"""Asking for somebody to be erased, and looking for what is left of him."""

from typing import Any

from django.db import connection

from analytics.stream import erasing, loop
from engagement import shoppers
from engagement.models import (
    Erasure,
    Organisation,
)


def ask(organisation: Organisation, name: str) -> Erasure:
    found = shoppers.find(organisation, name)
    assert found is not None
    return shoppers.ask_to_erase(organisation=organisation, shopper=found, by="alice")


def erased(worker: loop.Worker) -> int:
    """How many were erased, until nobody waits."""
    done = 0
    while erasing.erase(worker.connection):
        done += 1
    return done


def rows_of(shopper: int, devices: list[int]) -> dict[str, int]:
    """What is known of somebody, by table: of the tables that have such a column, whichever they are."""
    found = {}
    with connection.cursor() as cursor:
        for column, ids in (("shopper_id", [shopper]), ("owner_id", [shopper]), ("device_id", devices)):
            cursor.execute(
                """SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
                   WHERE c.column_name = %s AND c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type IN ('bigint', 'integer')""",
                [column],
            )
            for (table,) in cursor.fetchall():
                cursor.execute(f'SELECT count(*) FROM "{table}" WHERE {column} = ANY(%s)', [ids])
                found[f"{table}.{column}"] = cursor.fetchone()[0]
    return {name: count for name, count in found.items() if count}


def everything() -> dict[str, Any]:
    """A fingerprint of all tables but those that tell of processes at work."""
    with connection.cursor() as cursor:
        found = {}
        for table in sorted(set(connection.introspection.table_names(cursor)) - {"engagement_heartbeat", "engagement_shardstate"}):
            cursor.execute(f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" AS t')
            found[table] = cursor.fetchone()
        return found
