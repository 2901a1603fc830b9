// The component's entry: the only file that imports from the host, so that all others also run under node.

import inference from "lm:plugin/inference@0.1.0";
import http from "wasi:http/types@0.3.0";

import { answer } from "./function.js";
import { serve } from "./http.js";

export const handler = serve(http, (request) => answer(request, inference));
