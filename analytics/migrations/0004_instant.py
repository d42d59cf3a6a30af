from django.db import migrations

# The stream passes instants as integers. Exact for whole microseconds between the years 1700 and 2250, and near enough beyond:
# it is only used for windows that are widened anyhow.
FORWARD = """
CREATE FUNCTION atrium_instant(us bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT CASE WHEN us < -62135596800000000 THEN '-infinity'::timestamptz WHEN us > 253402300799000000 THEN 'infinity'::timestamptz
               ELSE 'epoch'::timestamptz + make_interval(secs => us / 1000000.0) END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0003_stay_by_time")]
    operations = [migrations.RunSQL(FORWARD, "DROP FUNCTION atrium_instant(bigint)")]
