// Shows the OpenAPI document of this server with Swagger UI, which tries its routes, with the key that it asks for.

"use strict";

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch"];

let key = null;

function withKey(headers) {
  return key === null ? headers : { ...headers, Authorization: `Bearer ${key}` };
}

async function description() {
  for (;;) {
    const response = await fetch("openapi.json", { headers: withKey({}) });
    if (response.status !== 401) {
      return response.json();
    }
    key = window.prompt("This server asks for an API key:");
    if (key === null) {
      return { openapi: "3.1.0", info: { title: "An API key is needed: load the page again", version: "" }, paths: {} };
    }
  }
}

description().then((document) =>
  SwaggerUIBundle({
    dom_id: "#interface",
    spec: document,
    deepLinking: true,
    tryItOutEnabled: true,
    // the admin port tells of routes that another port answers
    supportedSubmitMethods: document["x-answered-here"] === false ? [] : METHODS,
    requestInterceptor: (request) => ({ ...request, headers: withKey(request.headers) }),
    validatorUrl: null,
  }),
);
