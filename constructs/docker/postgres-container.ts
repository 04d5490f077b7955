import { Container } from "@cdktf/provider-docker/lib/container";
import { Image } from "@cdktf/provider-docker/lib/image";
import type { Network } from "@cdktf/provider-docker/lib/network";
import { Construct } from "constructs";
import { Input } from "../input";
import { checkName, POSTGRES_DATABASE, POSTGRES_ROLE, SERVER_NAME } from "../names";
import { hardened, loopbackPort } from "./hardening";

export interface PostgresContainerProps {
  /** The container's name, and its volume's with `-data` behind it. */
  readonly name: string;
  /** The server's name: what the names of its variables start with, and by which other containers reach it. */
  readonly server: string;
  /** With an exact tag; `TF_VAR_<server>_image` may name another. */
  readonly image: string;
  /** Where other containers reach it. */
  readonly network: Network;
  /** On 127.0.0.1; `TF_VAR_<server>_port` may name another. */
  readonly hostPort: number;
  /** The bootstrap's login. */
  readonly superuser: string;
  /** The database that is there from the start. */
  readonly database: string;
}

const UID = 999;
const VOLUME = "/var/lib/postgresql";
const PASSWORD_FILE = "/run/secrets/postgres-password";

/** The official PostgreSQL image. */
export class PostgresContainer extends Construct {
  constructor(scope: Construct, id: string, props: PostgresContainerProps) {
    super(scope, id);
    const server = checkName(SERVER_NAME, "server name", props.server);
    const of = `the PostgreSQL server ${server}`;
    const passwordFile = new Input(this, `${server}_password_file`, {
      for: "superuser-password-file",
      server,
      description: "absolute path of the file with the superuser's password; must be there at every start",
    });
    const imageName = new Input(this, `${server}_image`, {
      for: "image",
      server,
      default: props.image,
      description: `the image of ${of}`,
    });
    const port = new Input(this, `${server}_port`, {
      for: "port",
      server,
      default: props.hostPort,
      description: `the port of ${of} on 127.0.0.1`,
    });
    const image = new Image(this, "Image", { name: imageName.stringValue, keepLocally: true });
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
      networksAdvanced: [{ name: props.network.name, aliases: [server] }],
      ports: loopbackPort(5432, port.numberValue),
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
