--- What the fingerprint knows of the catalogs beyond what the server says of them: what is left
-- out, and what stands for a column whose value says nothing outside of its database. In all SQL,
-- `x` is the row.
local M = {}

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

local function set(text)
  local result = {}
  for _, word in ipairs(words(text)) do result[word] = true end
  return result
end

--- Left out as a whole: contents, not schema; what follows from other catalogs; other databases.
M.skipped = set [[
  pg_statistic pg_statistic_ext_data pg_largeobject pg_shdepend pg_init_privs pg_shseclabel
  pg_replication_origin pg_subscription_rel pg_parameter_acl pg_pltemplate]]

--- Taken only where the option of that name asks for them.
M.optional = {
  database = set "pg_database pg_shdescription pg_db_role_setting",
  roles = set "pg_authid pg_auth_members pg_tablespace",
  large_objects = set "pg_largeobject_metadata",
}

--- Of these, what initdb has made counts, too: migrations change it.
M.with_system_rows = set [[
  pg_namespace pg_language pg_database pg_shdescription pg_db_role_setting pg_authid
  pg_auth_members pg_tablespace pg_largeobject_metadata pg_subscription pg_default_acl]]

--- Columns that are left out: volatile, physical, or derived from others.
M.dropped = {
  pg_attribute = set [[attrelid attnum attlen attbyval attalign attndims attcacheoff atthasmissing
    attmissingval attisdropped]],
  pg_attrdef = set "adsrc",
  pg_authid = set "rolpassword",
  pg_class = set [[reltype relfilenode relpages reltuples relallvisible relallfrozen reltoastrelid
    relhasindex relisshared relnatts relchecks relhasrules relhastriggers relhassubclass relrewrite
    relfrozenxid relminmxid]],
  pg_collation = set "collversion",
  pg_constraint = set [[conindid conkey confkey conpfeqop conppeqop conffeqop confdelsetcols
    conexclop consrc conbin]],
  pg_database = set [[datname datlastsysoid datfrozenxid datminmxid dattablespace datistemplate
    datallowconn datcollversion]],
  pg_db_role_setting = set "setdatabase",
  pg_depend = set "objsubid refclassid refobjsubid",
  pg_enum = set "enumsortorder",
  pg_index = set "indcheckxmin indnatts",
  pg_inherits = set "inhseqno",
  pg_partitioned_table = set "partnatts partdefid",
  pg_proc = set "pronargs pronargdefaults",
  pg_rewrite = set "ev_qual",
  pg_subscription = set "subdbid subskiplsn",
  pg_trigger = set [[tgconstrindid tgnargs tgattr tgargs tgqual tgoldtable tgnewtable tgparentid]],
  pg_type = set "typarray typrelid typndims typdefaultbin",
}

--- The object that a row is about, of catalogs that have it as class and OID; %s: the two, and how.
local OBJECT = [[pg_catalog.concat_ws(' ', %s::pg_catalog.regclass, CASE
  WHEN %s OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
    THEN %s::pg_catalog.regclass::pg_catalog.text
  WHEN %s OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
    THEN %s::pg_catalog.regprocedure::pg_catalog.text
  WHEN %s OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
    THEN %s::pg_catalog.regtype::pg_catalog.text
  ELSE (pg_catalog.pg_identify_object(%s, %s, 0)).identity END)]]

local function object(class, oid)
  return OBJECT:format(class, class, oid, class, oid, class, oid, class, oid)
end

local ATTRIBUTE = [[(SELECT a.attname FROM pg_catalog.pg_attribute a
  WHERE a.attrelid OPERATOR(pg_catalog.=) %s AND a.attnum OPERATOR(pg_catalog.=) %s)]]

local ATTRIBUTES = [[ARRAY(SELECT a.attname FROM pg_catalog.unnest(%s) AS u(n)
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) %s
    AND a.attnum OPERATOR(pg_catalog.=) u.n ORDER BY u.n)]]

local described = {
  objoid = object("x.classoid", "x.objoid"), classoid = false,
  objsubid = "CASE WHEN x.classoid OPERATOR(pg_catalog.=) "
    .. "'pg_catalog.pg_class'::pg_catalog.regclass THEN "
    .. ATTRIBUTE:format("x.objoid", "x.objsubid") .. " END",
}

--- What stands for a column; false: nothing. Each column of an expression (pg_node_tree) is here.
M.instead = {
  pg_attrdef = { adbin = "pg_catalog.pg_get_expr(x.adbin, x.adrelid)" },
  pg_attribute = {
    atttypid = "pg_catalog.format_type(x.atttypid, x.atttypmod)", atttypmod = false,
  },
  pg_class = {
    relpartbound = "pg_catalog.pg_get_expr(x.relpartbound, x.oid)",
    -- an index has its table's
    relowner = [[CASE WHEN x.relkind OPERATOR(pg_catalog.=) ANY ('{i,I}'::pg_catalog."char"[])
      THEN NULL ELSE x.relowner::pg_catalog.regrole END]],
  },
  -- of others it follows from how they have come to a partition
  pg_constraint = {
    connoinherit = [[CASE WHEN x.contype OPERATOR(pg_catalog.=) ANY ('{c,n}'::pg_catalog."char"[])
      THEN x.connoinherit END]],
  },
  pg_depend = {
    objid = object("x.classid", "x.objid"), classid = false,
    refobjid = "(SELECT e.extname FROM pg_catalog.pg_extension e "
      .. "WHERE e.oid OPERATOR(pg_catalog.=) x.refobjid)",
  },
  pg_description = described,
  pg_index = {
    indexprs = "pg_catalog.pg_get_expr(x.indexprs, x.indrelid)",
    indpred = "pg_catalog.pg_get_expr(x.indpred, x.indrelid)",
  },
  pg_partitioned_table = { partexprs = "pg_catalog.pg_get_expr(x.partexprs, x.partrelid)" },
  pg_policy = {
    polqual = "pg_catalog.pg_get_expr(x.polqual, x.polrelid)",
    polwithcheck = "pg_catalog.pg_get_expr(x.polwithcheck, x.polrelid)",
  },
  pg_proc = {
    proargdefaults = "CASE WHEN x.proargdefaults IS NOT NULL "
      .. "THEN pg_catalog.pg_get_function_arguments(x.oid) END",
    prosqlbody = "CASE WHEN x.prosqlbody IS NOT NULL "
      .. "THEN pg_catalog.pg_get_function_sqlbody(x.oid) END",
  },
  pg_publication_rel = {
    prqual = "pg_catalog.pg_get_expr(x.prqual, x.prrelid)",
    prattrs = ATTRIBUTES:format("x.prattrs", "x.prrelid"),
  },
  pg_rewrite = { ev_action = "pg_catalog.pg_get_ruledef(x.oid)" },
  pg_seclabel = described,
  pg_shdescription = { objoid = "'database'::pg_catalog.text", classoid = false },
  pg_statistic_ext = {
    stxexprs = "CASE WHEN x.stxexprs IS NOT NULL "
      .. "THEN pg_catalog.pg_get_statisticsobjdef(x.oid) END",
  },
  -- the names of internal triggers have OIDs in them
  pg_trigger = {
    tgname = "CASE WHEN x.tgisinternal THEN pg_catalog.concat_ws(' ', (SELECT c.conname "
      .. "FROM pg_catalog.pg_constraint c WHERE c.oid OPERATOR(pg_catalog.=) x.tgconstraint), "
      .. "x.tgfoid::pg_catalog.regproc, x.tgtype) ELSE x.tgname::pg_catalog.text END",
  },
}

--- Columns that no catalog has.
M.added = {
  pg_attribute = {
    position = "pg_catalog.row_number() OVER (PARTITION BY x.attrelid ORDER BY x.attnum)",
  },
  pg_class = {
    toast_options = "(SELECT t.reloptions FROM pg_catalog.pg_class t "
      .. "WHERE t.oid OPERATOR(pg_catalog.=) x.reltoastrelid)",
  },
  pg_constraint = { definition = "pg_catalog.pg_get_constraintdef(x.oid)" },
  pg_enum = {
    position = "pg_catalog.row_number() OVER (PARTITION BY x.enumtypid ORDER BY x.enumsortorder)",
  },
  pg_inherits = {
    position = "pg_catalog.row_number() OVER (PARTITION BY x.inhrelid ORDER BY x.inhseqno)",
  },
  pg_sequence = {
    owned_by = [[(SELECT ROW(d.refobjid::pg_catalog.regclass, a.attname, d.deptype)
      FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a
        ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid
        AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid
      WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.objid OPERATOR(pg_catalog.=) x.seqrelid
        AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.deptype OPERATOR(pg_catalog.=) ANY ('{a,i}'::pg_catalog."char"[]))]],
  },
  pg_trigger = {
    definition = "CASE WHEN NOT x.tgisinternal THEN pg_catalog.pg_get_triggerdef(x.oid) END",
  },
}

--- The key, where the unique index of the catalog is not what names a row: columns, or what stands
-- for one, and its name.
M.keys = {
  pg_class = { { "x.oid::pg_catalog.regclass", "name" } },
  pg_database = { { "'database'::pg_catalog.text", "object" } },
  pg_db_role_setting = { "setrole" },
  pg_depend = { "objid", "refobjid", "deptype" },
  pg_description = { "objoid", "objsubid" },
  pg_inherits = { "inhrelid", "inhparent" },
  pg_largeobject_metadata = { { "x.oid", "oid" } },
  pg_operator = { { "x.oid::pg_catalog.regoperator", "name" } },
  pg_proc = { { "x.oid::pg_catalog.regprocedure", "name" } },
  pg_range = { "rngtypid" },
  pg_seclabel = { "objoid", "objsubid", "provider" },
  pg_shdescription = { "objoid" },
  pg_subscription = { "subname" },
  pg_type = { { "x.oid::pg_catalog.regtype", "name" } },
}

--- Rows that count.
M.filters = {
  pg_attribute = "x.attnum OPERATOR(pg_catalog.>) 0 AND NOT x.attisdropped",
  pg_database = "x.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
  pg_namespace = "x.oid OPERATOR(pg_catalog.<>) ALL ($3)",
  pg_trigger = "(NOT x.tgisinternal OR x.tgenabled OPERATOR(pg_catalog.<>) 'O')",
  -- the types of rows and arrays come and go with those that they are of
  pg_type = [[(x.typrelid OPERATOR(pg_catalog.=) 0 OR EXISTS (SELECT FROM pg_catalog.pg_class r
      WHERE r.oid OPERATOR(pg_catalog.=) x.typrelid AND r.relkind OPERATOR(pg_catalog.=) 'c'))
    AND (x.typelem OPERATOR(pg_catalog.=) 0 OR NOT EXISTS (SELECT FROM pg_catalog.pg_type e
      WHERE e.oid OPERATOR(pg_catalog.=) x.typelem AND e.typarray OPERATOR(pg_catalog.=) x.oid))]],
}

local OF_DATABASE = "x.%s OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d "
  .. "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"

--- The same, of columns of the row alone, so that a scan for new rows can use them, too.
M.cheap = {
  pg_db_role_setting = OF_DATABASE:format "setdatabase",
  pg_subscription = OF_DATABASE:format "subdbid",
  pg_shdescription = "x.classoid OPERATOR(pg_catalog.=) "
    .. "'pg_catalog.pg_database'::pg_catalog.regclass AND " .. OF_DATABASE:format "objoid",
  pg_depend = "x.refclassid OPERATOR(pg_catalog.=) "
    .. "'pg_catalog.pg_extension'::pg_catalog.regclass",
  pg_description = "(x.objoid OPERATOR(pg_catalog.>=) 16384 OR x.classoid OPERATOR(pg_catalog.=) "
    .. "'pg_catalog.pg_namespace'::pg_catalog.regclass)",
}

--- Relations whose columns count; those of an index do where something was set.
M.with_columns = [[(r.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,c}'::pg_catalog."char"[])
  OR r.relkind OPERATOR(pg_catalog.=) ANY ('{i,I}'::pg_catalog."char"[])
    AND (COALESCE(x.attstattarget, -1) OPERATOR(pg_catalog.<>) -1 OR x.attoptions IS NOT NULL))]]

--- The relation that a row belongs to, where the key does not begin with it.
M.relations = {
  pg_class = "COALESCE((SELECT i.indrelid FROM pg_catalog.pg_index i "
    .. "WHERE i.indexrelid OPERATOR(pg_catalog.=) x.oid), x.oid)",
  pg_index = "x.indrelid",
  pg_statistic_ext = "x.stxrelid",
}

--- The columns that say what a row is a part of, where it is not the first one of the key.
M.owners = { pg_constraint = { "conrelid", "contypid" } }

--- Rows that are objects by themselves, whatever their key refers to.
M.independent = set "pg_cast pg_transform"

--- Rows that are read again when one of the same value in that column has changed: a position
-- depends on the others.
M.groups = { pg_attribute = "attrelid", pg_enum = "enumtypid", pg_inherits = "inhrelid" }

--- The letter that acldefault() wants, and the column of the owner.
M.privileges = {
  pg_attribute = { "'c'", "10::pg_catalog.oid" },
  pg_class = {
    "CASE WHEN x.relkind OPERATOR(pg_catalog.=) 'S' THEN 's' ELSE 'r' END", "x.relowner",
  },
  pg_database = { "'d'", "x.datdba" },
  pg_foreign_data_wrapper = { "'F'", "x.fdwowner" },
  pg_foreign_server = { "'S'", "x.srvowner" },
  pg_language = { "'l'", "x.lanowner" },
  pg_largeobject_metadata = { "'L'", "x.lomowner" },
  pg_namespace = { "'n'", "x.nspowner" },
  pg_proc = { "'f'", "x.proowner" },
  pg_tablespace = { "'t'", "x.spcowner" },
  pg_type = { "'T'", "x.typowner" },
}

--- Types whose output is the name of an object; the first version that has it.
M.reg = {
  pg_authid = { "regrole", 90500 }, pg_class = { "regclass", 90000 },
  pg_collation = { "regcollation", 130000 }, pg_namespace = { "regnamespace", 90500 },
  pg_operator = { "regoperator", 90000 }, pg_proc = { "regprocedure", 90000 },
  pg_ts_config = { "regconfig", 90000 }, pg_ts_dict = { "regdictionary", 90000 },
  pg_type = { "regtype", 90000 },
}

--- The names of objects of other catalogs; %s: the row.
M.names = {
  pg_constraint = "%s.conname",
  pg_opclass = "pg_catalog.concat_ws('.', %s.opcnamespace::pg_catalog.regnamespace, %s.opcname)",
  pg_opfamily = "pg_catalog.concat_ws('.', %s.opfnamespace::pg_catalog.regnamespace, %s.opfname)",
}

return M
