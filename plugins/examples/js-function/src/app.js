// The component's entry: the only file that imports from the host, so that all others also run under node.

import inference from "lm:plugin/inference@0.1.0";
import http from "wasi:http/types@0.3.0";

import { serve } from "./http.js";
import { summarize } from "./summarize.js";

export const handler = serve(http, (request) => summarize(request, inference));
