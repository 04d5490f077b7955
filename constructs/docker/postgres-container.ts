import { Container } from "@cdktf/provider-docker/lib/container";
import { Image } from "@cdktf/provider-docker/lib/image";
import type { Network } from "@cdktf/provider-docker/lib/network";
import { TerraformVariable } from "cdktf";
import { Construct } from "constructs";
import { checkName, POSTGRES_DATABASE, POSTGRES_ROLE } from "../names";
import { hardened, loopbackPort } from "./hardening";

export interface PostgresContainerProps {
  readonly name: string;
  /** Other containers reach it by this name. */
  readonly alias: string;
  /** With an exact tag. */
  readonly image: string;
  readonly network: Network;
  readonly hostPort: number;
  readonly superuser: string;
  readonly database: string;
}

const UID = 999;
const VOLUME = "/var/lib/postgresql";
const PASSWORD_FILE = "/run/secrets/postgres-password";

/** The official PostgreSQL image. */
export class PostgresContainer extends Construct {
  constructor(scope: Construct, id: string, props: PostgresContainerProps) {
    super(scope, id);
    const passwordFile = new TerraformVariable(scope, `${props.alias}_password_file`, {
      type: "string",
      description: "absolute path of the file with the superuser's password; must be there at every start",
    });
    const image = new Image(this, "Image", { name: props.image, keepLocally: true });
    // The health check is a line for a shell.
    const superuser = checkName(POSTGRES_ROLE, "superuser", props.superuser);
    const database = checkName(POSTGRES_DATABASE, "database name", props.database);
    const ready = `pg_isready -q -h 127.0.0.1 -U ${superuser} -d ${database}`;
    new Container(this, "Resource", {
      name: props.name,
      image: image.imageId,
      user: `${String(UID)}:${String(UID)}`,
      // The password is in a file since environment variables stand in Terraform's state and in `docker inspect`.
      // PGDATA: up to 17 the image's own is a volume of its own, which would hide this one and go with the container. The same
      // for each major, so that another major's server says whose files it finds, in place of starting with none.
      env: [
        `PGDATA=${VOLUME}/docker`,
        `POSTGRES_DB=${database}`,
        `POSTGRES_PASSWORD_FILE=${PASSWORD_FILE}`,
        `POSTGRES_USER=${superuser}`,
      ],
      networksAdvanced: [{ name: props.network.name, aliases: [props.alias] }],
      ports: loopbackPort(5432, props.hostPort),
      // A volume that Docker makes, not Terraform: it outlives destroy.
      volumes: [{ volumeName: `${props.name}-data`, containerPath: VOLUME }],
      // As a mount: a missing source is an error, where a volume would become a directory of root's.
      mounts: [{ type: "bind", source: passwordFile.stringValue, target: PASSWORD_FILE, readOnly: true }],
      tmpfs: {
        "/tmp": "",
        "/var/run/postgresql": `uid=${String(UID)},gid=${String(UID)},mode=0775`,
      },
      // -h: without it the server of the image's own initialisation counts as ready.
      healthcheck: { test: ["CMD-SHELL", ready], interval: "2s", timeout: "3s", retries: 30 },
      ...hardened(1024),
    });
  }
}
