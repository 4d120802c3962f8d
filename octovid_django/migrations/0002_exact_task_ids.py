from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def compare_exactly(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let ids that differ only by case be two: MySQL and MariaDB take them for one by default."""
    if schema_editor.connection.vendor == "mysql":
        task = apps.get_model("octovid_django", "VideoTask")
        schema_editor.execute(
            f"ALTER TABLE {schema_editor.quote_name(task._meta.db_table)} MODIFY task_id "
            "varchar(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
        )


class Migration(migrations.Migration):
    atomic = False  # MySQL and MariaDB commit at every change of a table
    dependencies = [("octovid_django", "0001_initial")]

    operations = [migrations.RunPython(compare_exactly, migrations.RunPython.noop)]
