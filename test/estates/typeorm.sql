-- A TypeORM project's tables in public, with an extension beside them
-- origin: TypeORM 0.3.31 from npm: createSchemaBuilder().log() of four entities; it makes the extension on its first connection
-- database: estates
-- schema: public
-- verdict: green

RESET ROLE;
CREATE EXTENSION "uuid-ossp" SCHEMA public;
SET LOCAL ROLE estates_owner;
CREATE TYPE "user_role_enum" AS ENUM('admin', 'member');
CREATE TABLE "user" ("id" uuid NOT NULL DEFAULT uuid_generate_v4(), "email" character varying NOT NULL, "role" "user_role_enum" NOT NULL DEFAULT 'member', "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(), "settings" jsonb, CONSTRAINT "UQ_e12875dfb3b1d92d7d7c5377e22" UNIQUE ("email"), CONSTRAINT "PK_cace4a159ff9f2512dd42373760" PRIMARY KEY ("id"));
CREATE TABLE "photo" ("id" SERIAL NOT NULL, "name" character varying(500) NOT NULL, "views" integer NOT NULL DEFAULT '0', "isPublished" boolean NOT NULL DEFAULT false, "userId" uuid, CONSTRAINT "PK_723fa50bf70dcfd06fb5a44d4ff" PRIMARY KEY ("id"));
CREATE INDEX "IDX_05f2163d0f68dfd0f958d5e2a3" ON "photo" ("isPublished") ;
CREATE TABLE "album" ("id" SERIAL NOT NULL, "title" character varying NOT NULL, CONSTRAINT "PK_58e0b4b8a31bb897e6959fe3206" PRIMARY KEY ("id"));
CREATE TABLE "photo_albums_album" ("photoId" integer NOT NULL, "albumId" integer NOT NULL, CONSTRAINT "PK_3dfdd80a516c2d78b3e85c3ab62" PRIMARY KEY ("photoId", "albumId"));
CREATE INDEX "IDX_5575c9ce23e197fa7f2112196e" ON "photo_albums_album" ("photoId") ;
CREATE INDEX "IDX_285581054352d35a478ec60964" ON "photo_albums_album" ("albumId") ;
ALTER TABLE "photo" ADD CONSTRAINT "FK_4494006ff358f754d07df5ccc87" FOREIGN KEY ("userId") REFERENCES "user"("id") ON DELETE CASCADE ON UPDATE NO ACTION;
ALTER TABLE "photo_albums_album" ADD CONSTRAINT "FK_5575c9ce23e197fa7f2112196e8" FOREIGN KEY ("photoId") REFERENCES "photo"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "photo_albums_album" ADD CONSTRAINT "FK_285581054352d35a478ec60964d" FOREIGN KEY ("albumId") REFERENCES "album"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON public.photo TO estates_report; -- report tables.DELETE public.photo
GRANT UPDATE (title) ON public.album TO estates_report; -- report tables.UPDATE public.album
GRANT TRUNCATE ON public.photo TO estates_service; -- service tables.TRUNCATE public.photo
GRANT TRIGGER ON public."user" TO estates_report; -- report tables.TRIGGER public."user"
GRANT REFERENCES ON public.photo_albums_album TO estates_service; -- service tables.REFERENCES public.photo_albums_album
GRANT SELECT ON public.album TO PUBLIC; -- - public public.album
GRANT INSERT ON public."user" TO estates_stranger; -- - undeclared-roles public."user"
GRANT SELECT ON public.photo TO estates_service WITH GRANT OPTION; -- service nothing-else public.photo
GRANT CREATE ON SCHEMA public TO estates_report; -- report schema.CREATE public
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA public GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES public.leasehold_probe
CREATE TABLE public.stray (id integer); GRANT UPDATE ON public.stray TO estates_report; -- report tables.UPDATE public.stray
CREATE FUNCTION public.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else public.become()
REVOKE SELECT ON public.photo_albums_album FROM estates_report; -- report tables.SELECT public.photo_albums_album
REVOKE INSERT ON public.photo FROM estates_service; -- service tables.INSERT public.photo
REVOKE UPDATE ON public.album FROM estates_service; -- service tables.UPDATE public.album
REVOKE DELETE ON public."user" FROM estates_service; -- service tables.DELETE public."user"
REVOKE SELECT ON public."user" FROM estates_service; -- service tables.SELECT public."user"
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA public REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE public.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE public.photo_id_seq FROM estates_service; -- service sequences.USAGE public.photo_id_seq
GRANT UPDATE ON SEQUENCE public.photo_id_seq TO estates_report; -- report sequences.UPDATE public.photo_id_seq
GRANT USAGE ON TYPE public.user_role_enum TO estates_report; -- report nothing-else public.user_role_enum
