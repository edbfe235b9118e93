/*
** absent.c -- GSSAPI and LDAP, which there are no static libraries of.
**
** A static libpq refers to them, and is told here that they are not available,
** where it can be told with a text. It uses nothing else of the two.
*/
#include <stddef.h>
#include <stdint.h>

static char missing[] = "this executable has no GSSAPI (Kerberos)";
static char nothing[] = "";
static char no_ldap[] = "this executable has no LDAP";

/* ---- GSSAPI, RFC 2744 ------------------------------------------------ */

struct gss_buffer {
    size_t length;
    void *value;
};

enum { GSS_S_UNAVAILABLE = 16 << 16, GSS_C_MECH_CODE = 2 };

extern void *GSS_C_NT_HOSTBASED_SERVICE;
void *GSS_C_NT_HOSTBASED_SERVICE;

#define UNAVAILABLE(function)     \
    uint32_t function(void);      \
    uint32_t function(void)       \
    {                             \
        return GSS_S_UNAVAILABLE; \
    }

UNAVAILABLE(gss_acquire_cred)
UNAVAILABLE(gss_delete_sec_context)
UNAVAILABLE(gss_import_name)
UNAVAILABLE(gss_init_sec_context)
UNAVAILABLE(gss_release_buffer)
UNAVAILABLE(gss_release_cred)
UNAVAILABLE(gss_release_name)
UNAVAILABLE(gss_unwrap)
UNAVAILABLE(gss_wrap)
UNAVAILABLE(gss_wrap_size_limit)

uint32_t gss_display_status(uint32_t *minor, uint32_t value, int type,
                            const void *mechanism, uint32_t *context,
                            struct gss_buffer *text);
uint32_t gss_display_status(uint32_t *minor, uint32_t value, int type,
                            const void *mechanism, uint32_t *context,
                            struct gss_buffer *text)
{
    (void)value;
    (void)mechanism;
    *minor = 0;
    *context = 0; /* nothing follows */
    text->value = type == GSS_C_MECH_CODE ? nothing : missing;
    text->length = type == GSS_C_MECH_CODE ? 0 : sizeof missing - 1;
    return 0;
}

/* ---- LDAP: a search is the first that may fail with a text ------------ */

#define SUCCESS(function) \
    int function(void);   \
    int function(void)    \
    {                     \
        return 0;         \
    }

#define NOTHING(function) \
    void *function(void); \
    void *function(void)  \
    {                     \
        return NULL;      \
    }

SUCCESS(ldap_count_entries)
SUCCESS(ldap_msgfree)
SUCCESS(ldap_set_option)
SUCCESS(ldap_simple_bind)
SUCCESS(ldap_unbind)
SUCCESS(ldap_value_free_len)
NOTHING(ldap_first_entry)
NOTHING(ldap_get_values_len)

void *ldap_init(void);
void *ldap_init(void)
{
    return no_ldap;
}

int ldap_result(void *ldap, int message, int all, void *timeout, void **result);
int ldap_result(void *ldap, int message, int all, void *timeout, void **result)
{
    (void)message;
    (void)all;
    (void)timeout;
    *result = ldap;
    return 1;
}

int ldap_search_st(void);
int ldap_search_st(void)
{
    return -1;
}

char *ldap_err2string(int error);
char *ldap_err2string(int error)
{
    (void)error;
    return no_ldap;
}
