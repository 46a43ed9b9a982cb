// List Servings, create one, watch it until it is Ready, and ask it: npm start NAME MODEL
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { WatchEvent_Type } from "./gen/klever/v1alpha1/common_pb.js";
import type { Serving } from "./gen/klever/v1alpha1/serving_pb.js";
import { ServingService } from "./gen/klever/v1alpha1/serving_service_pb.js";

const [name, model] = process.argv.slice(2);
const baseUrl = `http://${process.env.KLEVER_SERVER}`;
const headers = { authorization: `Bearer ${process.env.KLEVER_TOKEN}` };
const servings = createClient(ServingService, createGrpcTransport({ baseUrl }));

const ready = (serving?: Serving) =>
  serving?.status?.conditions.some((condition) => condition.type === "Ready" && condition.status === "True");

for (const known of (await servings.listServings({ pageSize: 100 })).items) {
  console.log("known:", known.metadata?.name, known.status?.phase);
}

const created = await servings.createServing(
  { requestId: `create-${name}`, serving: { metadata: { name }, spec: { predictors: [{ name: "main", model }] } } },
  { headers },
);
console.log("created:", created.metadata?.name);

for await (const event of servings.watchServings({ namespace: "default", filter: `metadata.name = ${name}` })) {
  if (event.type === WatchEvent_Type.ERROR) throw new Error(event.error?.message);
  if (ready(event.object)) break;
}

const tensor = { datatype: "FP32", shape: [1, 5], data: [1, 1, 1, 1, 1] };
const answer = await fetch(`${baseUrl}/seldon/default/${name}/v2/models/${name}/infer`, {
  method: "POST",
  body: JSON.stringify({ inputs: [{ name: "X", ...tensor }, { name: "Y", ...tensor }] }),
});
console.log("answered:", await answer.text());
process.exit(0);
