"""Which transaction wrote a row last, for those who keep rows in memory; and the index by which an address finds its shopper."""

from django.db import migrations

NOTED = ("engagement_profile", "engagement_consentstate", "engagement_listmember")

FORWARD = """
CREATE FUNCTION atrium_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed = pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;
CREATE INDEX profile_by_email ON engagement_profile (organisation_id, lower(email)) WHERE email <> '';
""" + "".join(f"CREATE TRIGGER note_change BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION atrium_note_change();\n" for table in NOTED)

BACK = "".join(f"DROP TRIGGER note_change ON {table};\n" for table in NOTED) + "DROP INDEX profile_by_email; DROP FUNCTION atrium_note_change();"


class Migration(migrations.Migration):
    dependencies = [("engagement", "0010_profiles")]

    operations = [migrations.RunSQL(FORWARD, BACK)]
