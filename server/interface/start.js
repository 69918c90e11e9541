// Shows this server's OpenAPI document with Swagger UI, which tries its routes with the API key that it asks for.

"use strict";

const NO_KEY = { openapi: "3.1.0", info: { title: "An API key is needed: load the page again", version: "" }, paths: {} };

let key = null;

const withKey = (headers) => (key === null ? headers : { ...headers, Authorization: `Bearer ${key}` });

// Swagger UI's player asks for audio again, by GET. Here it gets the answer itself, with a link to keep it.
const withAudio = (Body, { React }) => (props) => {
  const { content, contentType } = props;
  const sound = content instanceof Blob && /^audio\//.test(contentType ?? "");
  const url = React.useMemo(() => (sound ? URL.createObjectURL(content) : props.url), [sound, content, props.url]);
  const body = React.createElement(Body, { ...props, url });
  const name = `speech.${(contentType ?? "").split(/[/;]/)[1]}`;
  return sound ? React.createElement("div", {}, body, React.createElement("a", { href: url, download: name }, "Download")) : body;
};

async function load() {
  for (;;) {
    const response = await fetch("openapi.json", { headers: withKey({}) });
    if (response.status !== 401) return response.json();
    key = window.prompt("This server needs an API key:");
    if (key === null) return NO_KEY;
  }
}

load().then((spec) =>
  SwaggerUIBundle({
    dom_id: "#interface",
    spec,
    deepLinking: true,
    tryItOutEnabled: true,
    requestInterceptor: (request) => ({ ...request, headers: withKey(request.headers) }),
    validatorUrl: null,
    plugins: [{ wrapComponents: { responseBody: withAudio } }],
  }),
);
