import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Checkout } from "../../bench/checkout";
import { bin } from "../../package.json";
import { temporaryFolder } from "../support/folder";
import { messages, Program, ROOT } from "../support/program";

const { folder, remove } = temporaryFolder();
afterAll(remove);

test("the bin takes nothing from the working folder's settings of TypeScript", () => {
  writeFileSync(
    join(folder, "tsconfig.json"),
    '{"compilerOptions":{"baseUrl":".","paths":{"pg":["./other.ts"],"zod":["./other.ts"]}}}',
  );
  writeFileSync(join(folder, "other.ts"), 'throw new Error("not ours");');
  const { status, stderr } = spawnSync(join(ROOT, bin.leasehold), ["verify", "--list"], {
    cwd: folder,
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

test("the bin runs in a working folder without tsx, and reads files from there", () => {
  const run = (...args: string[]) =>
    spawnSync(join(ROOT, bin.leasehold), args, {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: process.env["PATH"] },
    });
  expect(run("--version")).toMatchObject({ status: 0, stdout: "0.1.0\n", stderr: "" });
  expect(run("verify")).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(
      /^cdktf\.out\/access\.json can't be read: name the environment with --env/,
    ) as string,
  });
});

describe("an error that is not the config's", () => {
  const checkout = new Checkout("local");
  const stacks = checkout.path("stacks/app.ts");
  const source = readFileSync(stacks, "utf8");
  afterAll(() => {
    checkout.remove();
  });

  test.each([
    ["a bug", "(undefined as never)['missing']", /TypeError: Cannot read .*\n\s+at .*app\.ts/],
    [
      "an error of the network",
      "{ throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' }); }",
      /Error: connect ECONNREFUSED\n\s+at .*app\.ts/,
    ],
  ])("%s keeps its stack trace, in a command and in a plain synth", async (_, thrown, trace) => {
    writeFileSync(
      stacks,
      `${source}\nObject.defineProperty(PostgresStack.prototype, "addDependency", { value: () => ${thrown} });\n`,
    );
    for (const [code, main, ...args] of [
      [1, "cli.ts", "env"],
      [2, "main.ts"],
    ] as const) {
      const program = new Program(args, checkout.env(), checkout.folder, main);
      expect({ code: await program.ended, output: program.output }).toEqual({
        code,
        output: expect.stringMatching(trace) as string,
      });
    }
  });

  test("a folder that can't be written is told in one line, exit code 2", async () => {
    writeFileSync(stacks, source);
    rmSync(checkout.path("cdktf.out"), { recursive: true, force: true });
    symlinkSync("/proc", checkout.path("cdktf.out"));
    const program = new Program(["deploy", "--auto-approve"], checkout.env(), checkout.folder);
    expect({ code: await program.ended, lines: messages(program.output) }).toEqual({
      code: 2,
      lines: [
        expect.stringMatching(/^E\w+: .*cdktf\.out.*: check the free space and the permissions there$/),
      ],
    });
  });
});
