"""A quoted name is always one identifier, and a CREATE TABLE is read as SQLite reads it."""

from orchestrator.adapters.store.adopt.ddl import definitions, quoted, with_column, without_primary_key


def test_quoted_name_is_one_identifier() -> None:
    assert quoted("a]b[", "sqlserver") == "[a]]b[]"
    assert quoted('a"b', "sqlite") == '"a""b"'
    assert (
        with_column("ADD x AS [the_column]", "y]; DROP TABLE z --", "sqlserver")
        == "ADD x AS [y]]; DROP TABLE z --]"
    )


def test_create_table_is_read_as_sqlite_reads_it() -> None:
    pieces = definitions(
        'CREATE TABLE "t(,"(/* a, b */ "a ""b""" TEXT DEFAULT \',)\'\'(\', -- c, d\n'
        ' [x,y] decimal(10, 2) CHECK ([x,y] IN (1, 2)), `z``z`, "CHECK" INT,'
        ' CONSTRAINT u UNIQUE ("CHECK", `z``z`), PRIMARY KEY ([x,y] DESC)) STRICT'
    )
    assert [piece.name for piece in pieces] == ['a "b"', "x,y", "z`z", "CHECK", None, None]
    assert pieces[0].text == '"a ""b""" TEXT DEFAULT \',)\'\'(\''
    assert without_primary_key(pieces[5].text) == "UNIQUE ( [x,y] DESC )"
    assert without_primary_key('"PRIMARY KEY" int PRIMARY KEY ASC AUTOINCREMENT NOT NULL') == (
        '"PRIMARY KEY" int UNIQUE NOT NULL'
    )
