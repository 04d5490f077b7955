import { Deployment, findings } from "./test/support/deployment";
import { cellsOf } from "./verify/report/report";
async function main(){ for (const env of process.argv.slice(2)) {
 const d = await Deployment.start({ env });
 try { const r = await d.verify({expiry:true}); console.log(env, findings(r), r.left, cellsOf(r).length);
  } catch(e){console.log(env, e)} finally { await d.stop(); } } }
void main();
