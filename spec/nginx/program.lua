--- The nginx that the specs run: Debian's, with the modules of libnginx-mod-http-lua; or, where
-- PGMIG_TEST_NGINX has the path of its program, another one with Lua built in, as OpenResty's.
local given = os.getenv "PGMIG_TEST_NGINX"

local modules = [[
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
]]

return {
  is_debian = not given,
  command = given or "PATH=$PATH:/usr/sbin nginx", -- words of a shell
  load_modules = given and "" or modules, -- directives outside all blocks
}
