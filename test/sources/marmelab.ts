import { DataSource, EntitySchema } from "typeorm";
import { rotateRoot } from "../../ops/vault/rotate";
import type { Deployment } from "../support/deployment";
import { Application, refusal } from "./application";

// eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- TypeORM's options are a class that nobody makes
const Article = new EntitySchema<{ id: number; title: string }>({
  name: "Article",
  tableName: "articles",
  schema: "public",
  columns: { id: { type: Number, primary: true }, title: { type: "text" } },
});

/** Barrat's article: the root's password is rotated, and an application asks Vault for its login as it starts. */
export function marmelab(site: () => Deployment): void {
  /** As the application does at each start. */
  const start = async (): Promise<DataSource> => {
    const { sandbox, manifest } = site();
    const { host, port } = sandbox.postgres;
    const { username, password } = await (await Application.logIn(site(), "app")).lease();
    const source = new DataSource({
      ...{ type: "postgres", host, port, database: manifest.databases[0]!.name, username, password },
      entities: [Article],
    });
    return source.initialize();
  };

  test("after the rotation the host's password of Vault's login is refused", async () => {
    await rotateRoot(site().as("operator"), site().manifest);
    const password = String(site().sandbox.variables("postgres")["vault_manager_password"]);
    expect(await refusal(site(), { username: "vault", password })).toBe("28P01");
  });

  test("the application reads what the superuser has made since, and may not write", async () => {
    await site().superuser.query(
      "CREATE TABLE public.articles (id integer PRIMARY KEY, title text); INSERT INTO public.articles VALUES (1, 'Vault')",
    );
    const source = await start();
    const articles = source.getRepository(Article);
    expect(await articles.find()).toEqual([{ id: 1, title: "Vault" }]);
    await expect(articles.insert({ id: 2, title: "no" })).rejects.toMatchObject({ code: "42501" });
    await source.destroy();
  });

  test("each start has a login of its own", async () => {
    const sources = [await start(), await start()];
    const logins = await Promise.all(
      sources.map((source) => source.query<unknown[]>("SELECT session_user AS login")),
    );
    expect(logins[0]).not.toEqual(logins[1]);
    for (const source of sources) await source.destroy();
  });
}
