"""The broker's tables: pgmq as plain SQL, which needs no extension of the server."""

from typing import Any

from django.db import migrations
from pgmq.install import get_embedded_install_sql


def install(apps: Any, schema_editor: Any) -> None:
    """The script cannot be run twice, and its schema may be there: another application's, or the extension's."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('pgmq') IS NULL")
        if cursor.fetchone()[0]:
            cursor.execute(get_embedded_install_sql())


class Migration(migrations.Migration):
    dependencies = [("engagement", "0004_places_change")]
    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
