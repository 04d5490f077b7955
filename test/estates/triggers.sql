-- Tables that only grow, by a trigger; audit triggers; a statement trigger that raises
-- database: estates
-- schema: triggers
-- verdict: green

CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry text NOT NULL);
CREATE TABLE accounts (id integer PRIMARY KEY, balance numeric);
CREATE TABLE frozen (id integer PRIMARY KEY, note text);
CREATE TABLE audit (at timestamptz DEFAULT now(), who name DEFAULT current_user, what text, old jsonb, new jsonb);
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'leasehold-trap append_only'; RAISE EXCEPTION '% only grows', TG_TABLE_NAME; END $$;
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE LOG 'leasehold-trap audited';
  INSERT INTO triggers.audit (what, old, new) VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
  RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER raises BEFORE INSERT OR UPDATE OR DELETE ON frozen FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION audited();

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON triggers.ledger TO estates_report; -- report tables.DELETE triggers.ledger
GRANT UPDATE (note) ON triggers.frozen TO estates_report; -- report tables.UPDATE triggers.frozen
GRANT TRUNCATE ON triggers.ledger TO estates_service; -- service tables.TRUNCATE triggers.ledger
GRANT TRIGGER ON triggers.accounts TO estates_report; -- report tables.TRIGGER triggers.accounts
GRANT REFERENCES ON triggers.audit TO estates_service; -- service tables.REFERENCES triggers.audit
GRANT SELECT ON triggers.frozen TO PUBLIC; -- - public triggers.frozen
GRANT INSERT ON triggers.accounts TO estates_stranger; -- - undeclared-roles triggers.accounts
GRANT SELECT ON triggers.ledger TO estates_service WITH GRANT OPTION; -- service nothing-else triggers.ledger
GRANT CREATE ON SCHEMA triggers TO estates_report; -- report schema.CREATE triggers
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA triggers GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES triggers.leasehold_probe
CREATE TABLE triggers.stray (id integer); GRANT UPDATE ON triggers.stray TO estates_report; -- report tables.UPDATE triggers.stray
CREATE FUNCTION triggers.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else triggers.become()
REVOKE SELECT ON triggers.audit FROM estates_report; -- report tables.SELECT triggers.audit
REVOKE INSERT ON triggers.ledger FROM estates_service; -- service tables.INSERT triggers.ledger
REVOKE UPDATE ON triggers.frozen FROM estates_service; -- service tables.UPDATE triggers.frozen
REVOKE DELETE ON triggers.accounts FROM estates_service; -- service tables.DELETE triggers.accounts
REVOKE SELECT ON triggers.accounts FROM estates_service; -- service tables.SELECT triggers.accounts
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA triggers REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE triggers.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE triggers.ledger_id_seq FROM estates_service; -- service sequences.USAGE triggers.ledger_id_seq
GRANT UPDATE ON SEQUENCE triggers.ledger_id_seq TO estates_report; -- report sequences.UPDATE triggers.ledger_id_seq
REVOKE EXECUTE ON ROUTINE triggers.append_only() FROM estates_report; -- report functions.EXECUTE triggers.append_only()
