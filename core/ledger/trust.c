/*
** trust.c -- whose tables are, and what hangs on them.
**
** The danger is code of another role's that runs with our rights: a trigger, a
** default, a check, a policy, an operator of an index, each of them a function
** in the end. pg_depend tells in two steps what may: the parts of a table, and
** what those depend on. Whoever could do the same without the table (a
** superuser, the database's owner, who may replace all of it) is trusted.
**
** It asks catalogs only, and each expression is text that was written here:
** nothing is put in but the expression for the oids.
*/
#include "ledger/trust.h"

#include "base/error.h"

#define EQ " OPERATOR(pg_catalog.=) "
#define PG_CLASS "'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid"
#define PG_PROC "'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid"
#define PG_OPERATOR \
    "'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid"
#define PG_TYPE "'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid"

/*
** The roles whose objects are used. Whoever may administer a role may make any
** other one its member, so what counts of a membership is who has granted it:
** one who has power over this role anyway. Before PostgreSQL 16, CREATEROLE is
** that, but for superusers (release notes of 16). `masters` have that power,
** `mine` are the roles whose rights are ours by their grants, `trusted` those
** whose objects may hang on the tables.
*/
static const char roles[] =
    "(WITH RECURSIVE me AS (SELECT r.oid AS role, r.rolsuper"
    "  FROM pg_catalog.pg_roles r WHERE r.rolname" EQ "current_user),"
    " masters AS (SELECT me.role FROM me"
    " UNION ALL SELECT r.oid FROM pg_catalog.pg_roles r, me WHERE r.rolsuper"
    "  OR r.rolcreaterole AND NOT me.rolsuper AND"
    "   pg_catalog.current_setting('server_version_num')::pg_catalog.int4"
    "   OPERATOR(pg_catalog.<) 160000"
    " UNION ALL SELECT d.datdba FROM pg_catalog.pg_database d"
    "  WHERE d.datname" EQ "pg_catalog.current_database()"
    " UNION ALL SELECT m.member FROM pg_catalog.pg_auth_members m"
    "  JOIN me ON m.roleid" EQ "me.role WHERE m.admin_option),"
    " mine AS (SELECT me.role FROM me UNION SELECT m.roleid FROM mine"
    "  JOIN pg_catalog.pg_auth_members m ON m.member" EQ "mine.role"
    "  AND m.grantor" EQ "ANY (SELECT role FROM masters)),"
    " trusted AS (SELECT role FROM mine"
    " UNION ALL SELECT r.oid FROM pg_catalog.pg_roles r"
    "  WHERE r.rolsuper OR r.rolname" EQ "'pg_database_owner'"
    " UNION ALL SELECT d.datdba FROM pg_catalog.pg_database d"
    "  WHERE d.datname" EQ "pg_catalog.current_database()),";

/* The tables, and whether this role makes what hangs on them run: who may only
** read runs nothing but policies. */
static const char tables_before[] =
    " used AS (SELECT k.oid, k.relkind::pg_catalog.text AS kind,"
    "  k.relpersistence::pg_catalog.text AS persistence, k.relowner,"
    "  pg_catalog.format('%I.%I', n.nspname, k.relname) AS name,"
    "  k.relrowsecurity"
    "   OR pg_catalog.has_any_column_privilege(k.oid, 'INSERT, UPDATE')"
    "   OR pg_catalog.has_table_privilege(k.oid, 'DELETE') AS runs"
    "  FROM pg_catalog.pg_class k"
    "  JOIN pg_catalog.pg_namespace n ON n.oid" EQ "k.relnamespace"
    "  WHERE k.oid" EQ "ANY (";

/* Columns, triggers, defaults, checks, policies and indexes of the tables, and
** the types, functions and operators in them. What is built in has no owner to
** think of: nothing depends on it. */
static const char parts[] =
    ")),"
    " parts AS (SELECT t.name, " PG_CLASS " AS class, t.oid FROM used t"
    "  WHERE t.runs"
    " UNION ALL SELECT t.name, d.classid, d.objid FROM used t"
    "  JOIN pg_catalog.pg_depend d ON d.refclassid" EQ PG_CLASS
    "   AND d.refobjid" EQ "t.oid AND d.deptype" EQ "'a' WHERE t.runs"
    " UNION ALL SELECT t.name, " PG_CLASS ", i.indexrelid FROM used t"
    "  JOIN pg_catalog.pg_index i ON i.indrelid" EQ "t.oid WHERE t.runs)";
/* What the parts depend on, and its owner: functions, operators, types (a
** domain's check is a function, too). Built-in ones are pinned: no dependency
** on them is recorded (manual, "pg_depend"). */
static const char code[] =
    ", code AS (SELECT p.name, d.refclassid, d.refobjid,"
    "  COALESCE(f.proowner, o.oprowner, y.typowner) AS owner"
    "  FROM parts p JOIN pg_catalog.pg_depend d"
    "   ON d.classid" EQ "p.class AND d.objid" EQ "p.oid"
    "  LEFT JOIN pg_catalog.pg_proc f"
    "   ON d.refclassid" EQ PG_PROC " AND f.oid" EQ "d.refobjid"
    "  LEFT JOIN pg_catalog.pg_operator o"
    "   ON d.refclassid" EQ PG_OPERATOR " AND o.oid" EQ "d.refobjid"
    "  LEFT JOIN pg_catalog.pg_type y"
    "   ON d.refclassid" EQ PG_TYPE " AND y.oid" EQ "d.refobjid)";

/* A letter for `pgmig_trust_refuse`, and what is said. The one that matters
** most comes first; which one it is must not depend on a plan, so they are
** ordered. */
static const char objections[] =
    " SELECT o.objection FROM ("
    " SELECT 1 AS rank, pg_catalog.concat('k', t.name, ' is ',"
    "   CASE WHEN t.persistence" EQ "'t' THEN 'a temporary table'"
    "    WHEN t.persistence" EQ "'u' THEN 'an unlogged table'"
    "    WHEN t.kind" EQ "'v' THEN 'a view'"
    "    WHEN t.kind" EQ "'m' THEN 'a materialized view'"
    "    WHEN t.kind" EQ "'f' THEN 'a foreign table'"
    "    WHEN t.kind" EQ "'p' THEN 'a partitioned table'"
    "    ELSE 'not a table' END) AS objection FROM used t"
    "  WHERE t.kind OPERATOR(pg_catalog.<>) 'r'"
    "   OR t.persistence OPERATOR(pg_catalog.<>) 'p'"
    " UNION ALL SELECT 2, pg_catalog.concat('o', 'table ', t.name,"
    "   ' belongs to the role ', pg_catalog.pg_get_userbyid(t.relowner))"
    "  FROM used t WHERE t.runs AND t.relowner"
    "   OPERATOR(pg_catalog.<>) ALL (SELECT role FROM trusted)"
    " UNION ALL SELECT 3, pg_catalog.concat('r', 'table ', t.name,"
    "   ' has a rule, ', pg_catalog.quote_ident(w.rulename)) FROM used t"
    "  JOIN pg_catalog.pg_rewrite w ON w.ev_class" EQ "t.oid"
    " UNION ALL SELECT 4, pg_catalog.concat('c', 'table ', c.name, ' uses ',"
    "   pg_catalog.pg_describe_object(c.refclassid, c.refobjid, 0),"
    "   ', which belongs to the role ', pg_catalog.pg_get_userbyid(c.owner))"
    "  FROM code c WHERE c.owner"
    "   OPERATOR(pg_catalog.<>) ALL (SELECT role FROM trusted)"
    ") AS o ORDER BY o.rank, o.objection LIMIT 1)";

void pgmig_trust_add(const char *tables, struct pgmig_buf *sql)
{
    pgmig_buf_addf(sql, "%s%s%s%s%s%s", roles, tables_before, tables, parts,
                   code, objections);
}

/* Ordinary tables of this role's own, on which nothing hangs but what is built
** in, are above doubt: to plan the question about all others takes a server
** longer than most runs that have nothing to do. */
static const char own_before[] =
    "(WITH used AS (SELECT k.oid, NULL AS name, true AS runs,"
    "  k.relkind::pg_catalog.text" EQ "'r'"
    "   AND k.relpersistence::pg_catalog.text" EQ "'p'"
    "   AND NOT k.relhasrules AND NOT k.relrowsecurity"
    "   AND pg_catalog.pg_get_userbyid(k.relowner)" EQ "current_user AS own"
    "  FROM pg_catalog.pg_class k WHERE k.oid" EQ "ANY (";
static const char doubt[] =
    " WHERE EXISTS (SELECT FROM used t WHERE NOT t.own)"
    "  OR EXISTS (SELECT FROM parts p JOIN pg_catalog.pg_depend d"
    "   ON d.classid" EQ "p.class AND d.objid" EQ "p.oid AND d.refclassid" EQ
    "   ANY (ARRAY[" PG_PROC ", " PG_OPERATOR ", " PG_TYPE "])))";

void pgmig_trust_add_doubt(const char *tables, struct pgmig_buf *sql)
{
    pgmig_buf_addf(sql, "%s%s%s SELECT %s::pg_catalog.text%s", own_before,
                   tables, parts, tables, doubt);
}

/* For Lua, which asks it of other tools' tables. */
char *pgmig_trust_sql(const char *tables)
{
    struct pgmig_buf sql = {0};

    pgmig_trust_add(tables, &sql);
    if (!sql.failed)
        return sql.data;
    pgmig_buf_free(&sql);
    return NULL;
}

/* A letter that is not known, from a server that lies, gets a hint that is
** right for any. */
static const char *hint_of(char objection)
{
    switch (objection) {
    case 'o':
        return "pgmig uses only tables owned by this role, a role that it is a "
               "member of, the database's owner or a superuser, because a "
               "table's owner decides what writing to it does: run as that "
               "role, or inspect the table, then ALTER TABLE ... OWNER TO, or "
               "drop it";
    case 'r':
        return "a rule can discard what is written to the table: DROP RULE";
    case 'c':
        return "that role decides what it does with the privileges of this "
               "one: drop what uses it, or ALTER ... OWNER TO a role that is "
               "trusted with them";
    default:
        return "only an ordinary table keeps the record of what is applied";
    }
}

int pgmig_trust_refuse(const char *objection, struct pgmig_error *err)
{
    /* nothing is sure of what a server says, not even that it is a word */
    pgmig_error_set(err, PGMIG_E_PLAN, "%s",
                    objection[0] != '\0' ? objection + 1
                                         : "a table is refused");
    return pgmig_error_hint(err,
                            "%s; or choose another name with --table (option "
                            "`table`); nothing was touched",
                            hint_of(objection[0]));
}
