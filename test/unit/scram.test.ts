import { decode } from "../../ops/vault/root-token";
import { scramVerifier } from "../../clients/scram";

test("a SCRAM verifier of RFC 7677's example", () => {
  // https://www.rfc-editor.org/rfc/rfc7677#section-3: user "user", password "pencil".
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  expect(scramVerifier("pencil", salt)).toBe(
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
  );
  expect(scramVerifier("pencil")).not.toBe(scramVerifier("pencil"));
});

test("a root token, made with the unseal keys of an OpenBao 2.7.2", () => {
  expect(decode("O28xXSk9PA1xNAYJOSo4CDNDMmR4cRIECmo", "HAVeAdtd5FkeqRhNE5uV1BybOY")).toMatch(
    /^s\.[A-Za-z0-9]{24}$/,
  );
});
