"""Styles where QGIS looks for those of a database: in one table of the schema `public`, made as QGIS would make it."""

import sqlalchemy as sa

from pipeline.register_columns import register_qml
from pipeline.register_tables import LAYERS

_MAKE = """
CREATE TABLE IF NOT EXISTS public.layer_styles (id SERIAL PRIMARY KEY, f_table_catalog varchar, f_table_schema varchar,
    f_table_name varchar, f_geometry_column varchar, styleName text, styleQML xml, styleSLD xml, useAsDefault boolean,
    description text, owner varchar(63) DEFAULT CURRENT_USER, ui xml, update_time timestamp DEFAULT CURRENT_TIMESTAMP,
    type varchar)
"""
"""https://github.com/qgis/QGIS/blob/master/src/providers/postgres/qgspostgresprovider.cpp, `createStyleTable`."""
# Without a type, as QGIS calls a polygon by several names.
_FORGET = "DELETE FROM public.layer_styles WHERE f_table_catalog = current_database() AND f_table_schema = :schema"
_ADD = """
INSERT INTO public.layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
    useAsDefault, description)
VALUES (current_database(), :schema, CAST(:layer AS text), 'geom', CAST(:layer AS text), XMLPARSE(DOCUMENT :qml), true, '')
"""
_REFUSED = ("42501", "42703", "42809")
"""No right; a table, or something else, of that name that is not QGIS's."""


def add_styles(connection: sa.Connection, schema: str) -> bool:
    """Write the styles of the layers of a register, where the user may; a register without them is as good.

    Returns:
        Whether they were written.
    """
    try:
        with connection.begin_nested():
            connection.execute(sa.text(_MAKE))
            connection.execute(sa.text(_FORGET), {"schema": schema})
            for table in LAYERS:
                connection.execute(sa.text(_ADD), {"schema": schema, "layer": table.name, "qml": register_qml(table.name)})
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _REFUSED:
            raise
        return False
    return True
