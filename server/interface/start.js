// Shows this server's OpenAPI document in Swagger UI, and sends the API key that it asks for with every request.

"use strict";

const NO_KEY = { openapi: "3.1.0", info: { title: "An API key is needed: reload the page to enter it", version: "" }, paths: {} };

let key = null;

const withKey = (headers) => (key === null ? headers : { ...headers, Authorization: `Bearer ${key}` });

// Swagger UI's player would request the audio again, by GET. This gives it the response itself, with a download link.
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
