/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what an entry of a clouds.yaml means: which keys are ours, which do not concern us, and
 * which would, but are not supported. */

#include "clouds-entry.h"

#include <string.h>

#include "error-private.h"

typedef struct
{
  const char *name;
  gssize      offset;           /* in GlanceCloud; -1: read elsewhere */
  gboolean    is_secret;
} Key;

#define FIELD(name) G_STRUCT_OFFSET (GlanceCloud, name)

/* Of "auth"; as with OpenStack's own tools they may stand beside it as well. A later line is used
 * where an earlier one of the same field says nothing. */
static const Key auth_keys[] = {
  { "auth_url", FIELD (auth_url), FALSE },
  { "user_id", FIELD (user_id), FALSE },
  { "username", FIELD (username), FALSE },
  { "user_domain_id", FIELD (user_domain_id), FALSE },
  { "user_domain_name", FIELD (user_domain_name), FALSE },
  { "password", FIELD (password), TRUE },
  { "project_id", FIELD (project_id), FALSE },
  { "tenant_id", FIELD (project_id), FALSE },
  { "project_name", FIELD (project_name), FALSE },
  { "tenant_name", FIELD (project_name), FALSE },
  { "project_domain_id", FIELD (project_domain_id), FALSE },
  { "project_domain_name", FIELD (project_domain_name), FALSE },
  { "application_credential_id", FIELD (application_credential_id), FALSE },
  { "application_credential_name", FIELD (application_credential_name), FALSE },
  { "application_credential_secret", FIELD (application_credential_secret), TRUE },
  { "default_domain_id", -1, FALSE },
  { "default_domain_name", -1, FALSE },
};

static const Key cloud_keys[] = {
  { "image_region_name", FIELD (region), FALSE },
  { "region_name", FIELD (region), FALSE },
  { "image_interface", FIELD (interface), FALSE },
  { "interface", FIELD (interface), FALSE },
  { "endpoint_type", FIELD (interface), FALSE },
  { "image_endpoint_override", FIELD (image_url), FALSE },
  { "cacert", FIELD (ca_file), FALSE },
};

/* What changes who we are, whom we trust or where we go, and what to do instead. Keys that are in
 * no list are those of other services. */
static const struct
{
  const char *name;
  const char *instead;
} unsupported[] = {
  { "profile", "write its auth_url and the rest into the entry itself" },
  { "cloud", "write its auth_url and the rest into the entry itself" },
  { "regions", "name one in region_name" },
  { "cert", "certificates of clients are not supported" },
  { "key", "certificates of clients are not supported" },
  { "image_service_name", "name the service's address in image_endpoint_override" },
  { "image_service_type", "name the service's address in image_endpoint_override" },
  { "identity_endpoint_override", "name it in auth_url" },
  { "auth_methods", "take auth_type password or v3applicationcredential" },
  { "domain_id", "images belong to a project: name project_id" },
  { "domain_name", "images belong to a project: name project_name" },
  { "system_scope", "images belong to a project: name project_id" },
  { "trust_id", "take an application credential" },
  { "token", "take a password or an application credential, which can be renewed" },
};

/**
 * clouds_fail:
 * @node: where it is
 * @message: what is wrong there
 * @error: GLANCE_ERROR_INVALID, with file and line
 *
 * Returns: %FALSE
 */
gboolean
clouds_fail (const CloudsNode  *node,
             const char        *message,
             GError           **error)
{
  glance_set_error (error, GLANCE_ERROR_INVALID, "%s:%u: %s", node->path, node->line, message);

  return FALSE;
}

/**
 * clouds_show:
 * @name: a word that is none of ours
 *
 * Names are shown when they look like names: a slip of the pen may have made one of a secret.
 *
 * Returns: (transfer none): what may be shown of it
 */
const char *
clouds_show (const char *name)
{
  gsize length = strlen (name);

  for (gsize i = 0; i < length; i++)
    {
      if (!g_ascii_isalnum (name[i]) && strchr ("_-.", name[i]) == NULL)
        return "(not shown)";
    }

  return length <= 40 ? name : "(not shown)";
}

/* By its name with underscores or dashes. */
static const CloudsNode *
get (const CloudsNode *map,
     const char       *name)
{
  g_autofree char *dashed = NULL;
  const CloudsNode *found;

  if (map == NULL)
    return NULL;

  found = g_hash_table_lookup (map->values, name);
  if (found == NULL)
    {
      dashed = g_strdelimit (g_strdup (name), "_", '-');
      found = g_hash_table_lookup (map->values, dashed);
    }

  return found;
}

/**
 * clouds_is_nothing:
 * @node: a value
 *
 * Returns: whether it is nothing, as that is written in YAML
 */
gboolean
clouds_is_nothing (const CloudsNode *node)
{
  static const char *const nothing[] = { "", "~", "null", "Null", "NULL", NULL };

  return node->kind == CLOUDS_TEXT && node->is_plain && g_strv_contains (nothing, node->text);
}

/* What the entry says by @name, or NULL. */
static const CloudsNode *
look_up (const CloudsEntry *entry,
         const char        *name,
         gboolean           is_auth)
{
  const CloudsNode *const maps[] = { entry->auth[0], entry->auth[1], entry->cloud[0],
                                     entry->cloud[1] };

  for (gsize i = is_auth ? 0 : 2; i < G_N_ELEMENTS (maps); i++)
    {
      const CloudsNode *node = get (maps[i], name);

      if (node != NULL && !clouds_is_nothing (node))
        return node;
    }

  return NULL;
}

/* The text of that name: %NULL in @out where there is none. */
static gboolean
look_up_text (const CloudsEntry  *entry,
              const char         *name,
              gboolean            is_auth,
              const char        **out,
              GError            **error)
{
  const CloudsNode *node = look_up (entry, name, is_auth);
  g_autofree char *message = NULL;

  *out = NULL;
  if (node == NULL)
    return TRUE;

  if (node->kind != CLOUDS_TEXT)
    {
      message = g_strdup_printf ("'%s' must be one text, not a list or a map", name);
      return clouds_fail (node, message, error);
    }
  *out = node->text;

  return TRUE;
}

static gboolean
is_false (const char *text)
{
  static const char *const words[] = { "false", "no", "off", "0", NULL };
  g_autofree char *lower = g_ascii_strdown (text, -1);

  return g_strv_contains (words, lower);
}

static gboolean
check_auth_keys (const CloudsNode  *auth,
                 GError           **error)
{
  for (guint i = 0; auth != NULL && i < auth->names->len; i++)
    {
      const char *name = auth->names->pdata[i];
      g_autofree char *plain = g_strdelimit (g_strdup (name), "-", '_');
      const CloudsNode *node = g_hash_table_lookup (auth->values, name);
      gboolean is_known = clouds_is_nothing (node);
      g_autofree char *message = NULL;

      for (gsize k = 0; k < G_N_ELEMENTS (auth_keys); k++)
        is_known = is_known || g_str_equal (auth_keys[k].name, plain);
      for (gsize k = 0; k < G_N_ELEMENTS (unsupported); k++)
        is_known = is_known || g_str_equal (unsupported[k].name, plain);

      if (!is_known)
        {
          message = g_strdup_printf ("'%s' in auth is not supported; a password or an application "
                                     "credential are", clouds_show (name));
          return clouds_fail (node, message, error);
        }
    }

  return TRUE;
}

static gboolean
check_unsupported (const CloudsEntry  *entry,
                   GError            **error)
{
  const char *verify;
  const char *insecure;

  for (gsize i = 0; i < G_N_ELEMENTS (unsupported); i++)
    {
      const CloudsNode *node = look_up (entry, unsupported[i].name, TRUE);
      g_autofree char *message = NULL;

      if (node != NULL)
        {
          message = g_strdup_printf ("'%s' is not supported: %s", unsupported[i].name,
                                     unsupported[i].instead);
          return clouds_fail (node, message, error);
        }
    }

  if (!look_up_text (entry, "verify", FALSE, &verify, error)
      || !look_up_text (entry, "insecure", FALSE, &insecure, error))
    return FALSE;
  if ((verify != NULL && is_false (verify)) || (insecure != NULL && !is_false (insecure)))
    return clouds_fail (look_up (entry, verify != NULL && is_false (verify) ? "verify" : "insecure",
                          FALSE),
                 "certificates are always verified: name the authority in 'cacert'", error);

  return check_auth_keys (entry->auth[0], error) && check_auth_keys (entry->auth[1], error);
}

/* @versions: the only ones, "3" and what follows a dot. */
static gboolean
check_version (const CloudsEntry  *entry,
               const char         *name,
               char                version,
               GError            **error)
{
  g_autofree char *message = NULL;
  const char *text;

  if (!look_up_text (entry, name, FALSE, &text, error))
    return FALSE;
  if (text == NULL)
    return TRUE;

  if (*text == 'v')
    text++;
  if (text[0] == version && (text[1] == '\0' || text[1] == '.'))
    return TRUE;

  message = g_strdup_printf ("'%s' must be %c", name, version);

  return clouds_fail (look_up (entry, name, FALSE), message, error);
}

static gboolean
read_kind (const CloudsEntry  *entry,
           GlanceCloud        *cloud,
           GError            **error)
{
  static const struct
  {
    const char      *name;
    GlanceCloudKind  kind;
  } kinds[] = {
    { "password", GLANCE_CLOUD_PASSWORD },
    { "v3password", GLANCE_CLOUD_PASSWORD },
    { "v3applicationcredential", GLANCE_CLOUD_APPLICATION_CREDENTIAL },
  };
  g_autofree char *message = NULL;
  const char *type;

  if (!look_up_text (entry, "auth_type", FALSE, &type, error))
    return FALSE;
  if (type == NULL)
    type = "password";

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      if (g_str_equal (kinds[i].name, type))
        {
          cloud->kind = kinds[i].kind;
          return TRUE;
        }
    }

  message = g_strdup_printf ("auth_type '%s' is not supported; password, v3password and "
                             "v3applicationcredential are; for a token from elsewhere configure "
                             "the image service's address and a file with the token",
                             clouds_show (type));

  return clouds_fail (look_up (entry, "auth_type", FALSE), message, error);
}

static void
warn_of_exposure (GlanceCloud      *cloud,
                  const char       *name,
                  const CloudsNode *node,
                  GStrvBuilder     *warnings)
{
  g_autofree char *warning = NULL;

  if (!node->is_exposed)
    return;

  warning = g_strdup_printf ("%s can be read by everybody on this machine, and has the %s of "
                             "cloud '%s' in it; chmod o-r", node->path, name, cloud->name);
  g_strv_builder_add (warnings, warning);
}

static gboolean
read_keys (const CloudsEntry  *entry,
           const Key          *keys,
           gsize               n_keys,
           gboolean            is_auth,
           GlanceCloud        *cloud,
           GStrvBuilder       *warnings,
           GError            **error)
{
  for (gsize i = 0; i < n_keys; i++)
    {
      char **field = keys[i].offset >= 0 ? (char **) ((guint8 *) cloud + keys[i].offset) : NULL;
      const char *text;

      if (!look_up_text (entry, keys[i].name, is_auth, &text, error))
        return FALSE;
      if (field == NULL || text == NULL || *field != NULL)
        continue;

      *field = g_strdup (text);
      if (keys[i].is_secret)
        warn_of_exposure (cloud, keys[i].name, look_up (entry, keys[i].name, is_auth), warnings);
    }

  return TRUE;
}

/* The domain of user and project where they have none of their own. */
static gboolean
apply_default_domain (const CloudsEntry  *entry,
                      GlanceCloud        *cloud,
                      GError            **error)
{
  const char *id;
  const char *name;

  if (!look_up_text (entry, "default_domain_id", TRUE, &id, error)
      || !look_up_text (entry, "default_domain_name", TRUE, &name, error))
    return FALSE;

  if (cloud->user_domain_id == NULL && cloud->user_domain_name == NULL)
    {
      cloud->user_domain_id = g_strdup (id);
      cloud->user_domain_name = g_strdup (name);
    }
  if (cloud->project_domain_id == NULL && cloud->project_domain_name == NULL)
    {
      cloud->project_domain_id = g_strdup (id);
      cloud->project_domain_name = g_strdup (name);
    }

  return TRUE;
}

/* An address, without a slash at the end; it is not shown, for people put passwords into them. */
static gboolean
tidy_url (const CloudsEntry  *entry,
          const char         *name,
          gboolean            is_auth,
          char              **url,
          GError            **error)
{
  g_autoptr (GUri) uri = *url != NULL ? g_uri_parse (*url, G_URI_FLAGS_ENCODED, NULL) : NULL;
  g_autofree char *message = NULL;

  if (*url == NULL)
    return TRUE;

  if (uri != NULL && g_uri_get_host (uri) != NULL && *g_uri_get_host (uri) != '\0'
      && (g_str_equal (g_uri_get_scheme (uri), "http")
          || g_str_equal (g_uri_get_scheme (uri), "https"))
      && g_uri_get_userinfo (uri) == NULL && g_uri_get_query (uri) == NULL
      && g_uri_get_fragment (uri) == NULL)
    {
      for (gsize length = strlen (*url); (*url)[length - 1] == '/'; length--)
        (*url)[length - 1] = '\0';
      return TRUE;
    }

  message = g_strdup_printf ("'%s' is not an http:// or https:// address, without a user in it",
                             name);

  return clouds_fail (look_up (entry, name, is_auth), message, error);
}

/* What a relative path begins at is another thing for a daemon than for its administrator. */
static gboolean
check_ca_file (const CloudsEntry  *entry,
               const GlanceCloud  *cloud,
               GError            **error)
{
  if (cloud->ca_file == NULL || g_path_is_absolute (cloud->ca_file))
    return TRUE;

  return clouds_fail (look_up (entry, "cacert", FALSE), "'cacert' must be an absolute path", error);
}

static gboolean
tidy_interface (const CloudsEntry  *entry,
                GlanceCloud        *cloud,
                GError            **error)
{
  static const char *const known[] = { "public", "internal", "admin", NULL };

  if (cloud->interface == NULL)
    cloud->interface = g_strdup ("public");
  if (g_str_has_suffix (cloud->interface, "URL"))
    cloud->interface[strlen (cloud->interface) - strlen ("URL")] = '\0';

  if (g_strv_contains (known, cloud->interface))
    return TRUE;

  glance_set_error (error, GLANCE_ERROR_INVALID,
                    "%s: the interface of cloud '%s' is none of public, internal and admin",
                    entry->cloud[1]->path, cloud->name);

  return FALSE;
}

/* What is missing or too much, as a sentence; NULL when all is there. */
static const char *
complain (const GlanceCloud *cloud)
{
  gboolean has_user = cloud->user_id != NULL
                      || (cloud->username != NULL
                          && (cloud->user_domain_id != NULL || cloud->user_domain_name != NULL));
  gboolean has_project = cloud->project_id != NULL
                         || (cloud->project_name != NULL
                             && (cloud->project_domain_id != NULL
                                 || cloud->project_domain_name != NULL));

  if (cloud->auth_url == NULL)
    return "there is no 'auth_url'";
  if (g_str_has_suffix (cloud->auth_url, "/v2.0"))
    return "'auth_url' is that of version 2.0, which is gone; version 3 is wanted";

  if (cloud->kind == GLANCE_CLOUD_PASSWORD)
    {
      if (!has_user)
        return "a password needs 'user_id', or 'username' and 'user_domain_name' (or _id)";
      if (cloud->password == NULL)
        return "there is no 'password'";
      if (!has_project)
        return "a password needs 'project_id', or 'project_name' and 'project_domain_name' "
               "(or _id)";
      return NULL;
    }

  if (cloud->application_credential_id == NULL
      && (cloud->application_credential_name == NULL || !has_user))
    return "an application credential needs 'application_credential_id', or "
           "'application_credential_name' and its user";
  if (cloud->application_credential_secret == NULL)
    return "there is no 'application_credential_secret'";
  if (cloud->project_id != NULL || cloud->project_name != NULL)
    return "an application credential has a project of its own: remove that of the entry";

  return NULL;
}

/**
 * clouds_entry_read:
 * @entry: the entry, of one file or of two
 * @error: GLANCE_ERROR_INVALID, with file and line
 *
 * Returns: (transfer full): what it says
 */
GlanceCloud *
clouds_entry_read (const CloudsEntry  *entry,
                   GError            **error)
{
  g_autoptr (GlanceCloud) cloud = g_new0 (GlanceCloud, 1);
  g_autoptr (GStrvBuilder) warnings = g_strv_builder_new ();
  const char *complaint;

  cloud->name = g_strdup (entry->name);

  if (!check_unsupported (entry, error)
      || !check_version (entry, "identity_api_version", '3', error)
      || !check_version (entry, "image_api_version", '2', error)
      || !read_kind (entry, cloud, error)
      || !read_keys (entry, auth_keys, G_N_ELEMENTS (auth_keys), TRUE, cloud, warnings, error)
      || !read_keys (entry, cloud_keys, G_N_ELEMENTS (cloud_keys), FALSE, cloud, warnings, error)
      || !apply_default_domain (entry, cloud, error)
      || !tidy_url (entry, "auth_url", TRUE, &cloud->auth_url, error)
      || !tidy_url (entry, "image_endpoint_override", FALSE, &cloud->image_url, error)
      || !check_ca_file (entry, cloud, error)
      || !tidy_interface (entry, cloud, error))
    return NULL;

  complaint = complain (cloud);
  if (complaint != NULL)
    {
      g_autofree char *message = g_strdup_printf ("cloud '%s': %s", clouds_show (cloud->name),
                                                  complaint);

      clouds_fail (entry->cloud[1], message, error);
      return NULL;
    }

  cloud->warnings = g_strv_builder_end (warnings);

  return g_steal_pointer (&cloud);
}
