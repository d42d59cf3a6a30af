"""The event table, partitioned by day; storage of the tables that the stream rewrites; one row a shard."""

from django.db import migrations

FORWARD = """
CREATE TABLE engagement_event (
    day date NOT NULL,
    organisation_id bigint NOT NULL,
    device_id bigint NOT NULL,
    event_id uuid NOT NULL,
    kind smallint NOT NULL,
    at timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    shopper_id bigint,
    lat double precision,
    lon double precision,
    accuracy double precision,
    beacon bytea,
    rssi smallint,
    zone varchar(64),
    direction smallint,
    name varchar(128),
    properties jsonb,
    -- The promise "never twice", and the late path's way to a device's events of a day: hence the device first.
    PRIMARY KEY (device_id, event_id, day)
) PARTITION BY RANGE (day);
-- Absurd clocks, and days for which nobody made a partition: slower to drop, never lost.
CREATE TABLE engagement_event_default PARTITION OF engagement_event DEFAULT;

INSERT INTO engagement_shardstate (shard, attempts, suspect_attempts) SELECT s, 0, 0 FROM generate_series(0, 63) AS s;

-- Rows that change in place need room on their page (HOT updates); the inbox lives for milliseconds and must be swept often.
ALTER TABLE engagement_shardstate SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE engagement_shopper SET (fillfactor = 75);
ALTER TABLE engagement_device SET (fillfactor = 75);
ALTER TABLE engagement_outcome SET (fillfactor = 50);
ALTER TABLE engagement_inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
                                  toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_scale_factor = 0);
-- Payloads are small and short-lived: compressing them costs more than it saves.
ALTER TABLE engagement_inbox ALTER COLUMN payload SET STORAGE EXTERNAL;
-- A request of a hundred events stays on one page: a row in the TOAST table for every 2 kB would be written and deleted with it.
ALTER TABLE engagement_inbox SET (toast_tuple_target = 8160);
"""


class Migration(migrations.Migration):
    dependencies = [("engagement", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, "DROP TABLE engagement_event")]
