/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when another token is needed, and that one thread asks for it however many want it. What
 * other people's tokens are is remembered for a short time. */

#include <glance/keystone.h>

#include "error-private.h"
#include "keystone-client.h"
#include "keystone-session.h"
#include "token-private.h"

/* How long an answer about somebody's token is believed, and how many are. */
#define KNOWN_US  (60 * G_USEC_PER_SEC)
#define NOBODY_US (5 * G_USEC_PER_SEC)
#define KNOWN_MAX 1000

/* While a token is good, the next attempt to get another; and where we were turned away, so that
 * Keystone does not lock the account. */
#define AGAIN_US        (10 * G_USEC_PER_SEC)
#define TURNED_AWAY_MAX 5       /* as a power of two, in seconds */

typedef struct
{
  GlanceUser *user;             /* (nullable): nobody */
  gint64      until_us;
} Known;

struct _GlanceKeystone
{
  GObject          parent_instance;
  GlanceCloud     *cloud;
  KeystoneClient  *client;
  gint64           patience_us; /* as long as a request of another thread may take */

  GMutex           lock;
  GCond            changed;
  KeystoneSession *session;     /* (nullable) */
  gboolean         asking;      /* some thread is */
  guint64          n_failed;
  GError          *failure;     /* (nullable): of the last attempt */
  guint            turned_away; /* how often in a row */
  gint64           again_us;    /* no attempt before */
  GHashTable      *known;       /* hash of a token -> Known */
};

static void glance_keystone_token_init (GlanceTokenInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (GlanceKeystone, glance_keystone, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (GLANCE_TYPE_TOKEN,
                                                      glance_keystone_token_init))

static void
known_free (gpointer data)
{
  Known *self = data;

  glance_user_free (self->user);
  g_free (self);
}

static void
wake (GCancellable *cancellable,
      gpointer      data)
{
  GlanceKeystone *self = data;

  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* Whether our session is still one; @refused is the end of it. */
static gboolean
is_usable (GlanceKeystone *self,
           const char     *refused)
{
  if (self->session != NULL
      && (g_strcmp0 (self->session->token, refused) == 0
          || g_get_monotonic_time () >= self->session->end_us))
    g_clear_pointer (&self->session, keystone_session_unref);

  return self->session != NULL;
}

static void
remember_failure (GlanceKeystone *self,
                  const GError   *failure)
{
  gboolean is_refusal = g_error_matches (failure, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED)
                        || g_error_matches (failure, GLANCE_ERROR, GLANCE_ERROR_FORBIDDEN);
  gint64 wait_us = 0;

  if (is_refusal)
    {
      wait_us = G_USEC_PER_SEC << self->turned_away;
      self->turned_away = MIN (self->turned_away + 1, TURNED_AWAY_MAX);
    }
  if (self->session != NULL)
    wait_us = MAX (wait_us, AGAIN_US);

  g_clear_error (&self->failure);
  self->failure = g_error_copy (failure);
  self->n_failed++;
  self->again_us = g_get_monotonic_time () + wait_us;
}

/* Asks for another session; the lock is not held meanwhile. An attempt that was cancelled tells
 * the others nothing: one of them makes the next. */
static gboolean
renew (GlanceKeystone  *self,
       GCancellable    *cancellable,
       GError         **error)
{
  g_autoptr (GError) failure = NULL;
  KeystoneSession *session;

  self->asking = TRUE;
  g_mutex_unlock (&self->lock);
  session = keystone_client_authenticate (self->client, cancellable, &failure);
  g_mutex_lock (&self->lock);
  self->asking = FALSE;
  g_cond_broadcast (&self->changed);

  if (session != NULL)
    {
      g_clear_pointer (&self->session, keystone_session_unref);
      self->session = session;
      g_clear_error (&self->failure);
      self->turned_away = 0;
      self->again_us = 0;
      return TRUE;
    }

  if (!g_error_matches (failure, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      remember_failure (self, failure);
      g_debug ("no new token for cloud '%s': %s", self->cloud->name, failure->message);
    }
  g_propagate_error (error, g_steal_pointer (&failure));

  return FALSE;
}

static gboolean
wait_for_change (GlanceKeystone  *self,
                 gint64           deadline,
                 GCancellable    *cancellable,
                 GError         **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  if (!g_cond_wait_until (&self->changed, &self->lock, deadline))
    {
      glance_set_error (error, GLANCE_ERROR_TIMEOUT,
                        "Keystone at %s has not answered another request of ours",
                        self->cloud->auth_url);
      return FALSE;
    }

  return TRUE;
}

static KeystoneSession *
acquire_locked (GlanceKeystone  *self,
                const char      *refused,
                GCancellable    *cancellable,
                GError         **error)
{
  gint64 deadline = g_get_monotonic_time () + self->patience_us;
  guint64 seen = self->n_failed;

  while (TRUE)
    {
      gint64 now = g_get_monotonic_time ();
      gboolean usable = is_usable (self, refused);
      g_autoptr (GError) local_error = NULL;

      if (usable && (now < self->session->renew_us || self->asking || now < self->again_us))
        return keystone_session_ref (self->session);

      if (!self->asking)
        {
          if (self->failure != NULL && (self->n_failed != seen || now < self->again_us))
            {
              g_propagate_error (error, g_error_copy (self->failure));
              return NULL;
            }

          if (renew (self, cancellable, &local_error))
            return keystone_session_ref (self->session);
          if (!is_usable (self, refused) || g_cancellable_is_cancelled (cancellable))
            {
              g_propagate_error (error, g_steal_pointer (&local_error));
              return NULL;
            }
        }
      else if (!wait_for_change (self, deadline, cancellable, error))
        return NULL;
    }
}

/* A session whose token is not @refused. */
static KeystoneSession *
acquire (GlanceKeystone  *self,
         const char      *refused,
         GCancellable    *cancellable,
         GError         **error)
{
  KeystoneSession *session;
  gulong handler = 0;

  /* Outside of the lock, for it is what wakes us that takes it. */
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (wake), self, NULL);

  g_mutex_lock (&self->lock);
  session = acquire_locked (self, refused, cancellable, error);
  g_mutex_unlock (&self->lock);

  if (cancellable != NULL)
    g_cancellable_disconnect (cancellable, handler);

  return session;
}

static char *
glance_keystone_get (GlanceToken   *token,
                     const char    *refused,
                     GCancellable  *cancellable,
                     GError       **error)
{
  g_autoptr (KeystoneSession) session = acquire (GLANCE_KEYSTONE (token), refused, cancellable,
                                                 error);

  if (session == NULL)
    return NULL;

  if (g_strcmp0 (session->token, refused) == 0)
    {
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                        "the image service refuses Keystone's token, and Keystone has no other");
      return NULL;
    }

  return g_strdup (session->token);
}

static char *
glance_keystone_get_endpoint (GlanceToken   *token,
                              GCancellable  *cancellable,
                              GError       **error)
{
  GlanceKeystone *self = GLANCE_KEYSTONE (token);
  g_autoptr (KeystoneSession) session = NULL;

  if (self->cloud->image_url != NULL)
    return g_strdup (self->cloud->image_url);

  session = acquire (self, NULL, cancellable, error);

  return session != NULL ? keystone_session_find_image (session, self->cloud->region,
                                                        self->cloud->interface, error)
                         : NULL;
}

static void
glance_keystone_token_init (GlanceTokenInterface *iface)
{
  iface->get = glance_keystone_get;
  iface->get_endpoint = glance_keystone_get_endpoint;
}

static void
glance_keystone_finalize (GObject *object)
{
  GlanceKeystone *self = GLANCE_KEYSTONE (object);

  g_clear_pointer (&self->session, keystone_session_unref);
  g_clear_error (&self->failure);
  g_hash_table_unref (self->known);
  keystone_client_free (self->client);
  glance_cloud_free (self->cloud);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (glance_keystone_parent_class)->finalize (object);
}

static void
glance_keystone_class_init (GlanceKeystoneClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = glance_keystone_finalize;
}

static void
glance_keystone_init (GlanceKeystone *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, known_free);
}

/**
 * glance_keystone_new:
 * @cloud: (transfer full): who we are, and where
 * @settings: its times, and its ca_file where @cloud names none
 *
 * Returns: (transfer full): the identity service; nothing is asked yet
 */
GlanceKeystone *
glance_keystone_new (GlanceCloud          *cloud,
                     const GlanceSettings *settings)
{
  GlanceKeystone *self = g_object_new (GLANCE_TYPE_KEYSTONE, NULL);

  self->cloud = cloud;
  self->client = keystone_client_new (cloud, settings);
  self->patience_us = keystone_client_get_patience (self->client);

  return self;
}

/**
 * glance_keystone_get_self:
 * @self: the identity service
 * @cancellable: (nullable): ends the waiting
 * @error: GLANCE_ERROR_UNAUTHORIZED when we are nobody; any other GLANCE_ERROR;
 *   G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): who we are; with a project
 */
GlanceUser *
glance_keystone_get_self (GlanceKeystone  *self,
                          GCancellable    *cancellable,
                          GError         **error)
{
  g_autoptr (KeystoneSession) session = acquire (self, NULL, cancellable, error);

  return session != NULL ? glance_user_copy (session->user) : NULL;
}

static void
set_nobody (GError **error)
{
  glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                    "Keystone does not know this token, or not any more");
}

static char *
hash_token (const char *token)
{
  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, token, -1);
}

/**
 * glance_keystone_recall:
 * @self: the identity service
 * @token: what somebody showed us
 * @user: (out) (transfer full) (nullable): whose it is
 * @error: GLANCE_ERROR_UNAUTHORIZED when it is nobody's
 *
 * Does not wait.
 *
 * Returns: %FALSE when only Keystone could say; else @user or @error is set
 */
gboolean
glance_keystone_recall (GlanceKeystone  *self,
                        const char      *token,
                        GlanceUser     **user,
                        GError         **error)
{
  g_autofree char *key = NULL;
  const Known *known;
  gboolean found;

  *user = NULL;
  if (!glance_token_is_sane (token))
    {
      set_nobody (error);
      return TRUE;
    }

  key = hash_token (token);
  g_mutex_lock (&self->lock);
  known = g_hash_table_lookup (self->known, key);
  found = known != NULL && g_get_monotonic_time () < known->until_us;
  if (found && known->user != NULL)
    *user = glance_user_copy (known->user);
  g_mutex_unlock (&self->lock);

  if (found && *user == NULL)
    set_nobody (error);

  return found;
}

/* Of whoever makes tokens up there is no end: they go before those that are somebody's. */
static gboolean
is_over (gpointer key,
         gpointer value,
         gpointer now)
{
  const Known *known = value;

  return known->user == NULL || known->until_us <= *(gint64 *) now;
}

/* @user: (nullable): nobody. */
static void
remember (GlanceKeystone   *self,
          const char       *key,
          const GlanceUser *user,
          gint64            time_us)
{
  gint64 now = g_get_monotonic_time ();
  Known *known;

  if (time_us <= 0)
    return;

  known = g_new0 (Known, 1);
  known->user = user != NULL ? glance_user_copy (user) : NULL;
  known->until_us = now + time_us;

  g_mutex_lock (&self->lock);
  if (g_hash_table_size (self->known) >= KNOWN_MAX)
    g_hash_table_foreach_remove (self->known, is_over, &now);
  if (g_hash_table_size (self->known) >= KNOWN_MAX)
    g_hash_table_remove_all (self->known);
  g_hash_table_replace (self->known, g_strdup (key), known);
  g_mutex_unlock (&self->lock);
}

/**
 * glance_keystone_identify:
 * @self: the identity service
 * @token: what somebody showed us
 * @cancellable: (nullable): ends the waiting
 * @error: GLANCE_ERROR_UNAUTHORIZED when it is nobody's; any other GLANCE_ERROR;
 *   G_IO_ERROR_CANCELLED
 *
 * The answer is up to a minute old, unless the token ends before.
 *
 * Returns: (transfer full): whose it is
 */
GlanceUser *
glance_keystone_identify (GlanceKeystone  *self,
                          const char      *token,
                          GCancellable    *cancellable,
                          GError         **error)
{
  g_autoptr (KeystoneSession) session = NULL;
  g_autoptr (GlanceUser) user = NULL;
  g_autoptr (GError) local_error = NULL;
  g_autofree char *key = NULL;
  gint64 left_us = 0;

  if (glance_keystone_recall (self, token, &user, error))
    return g_steal_pointer (&user);

  key = hash_token (token);
  user = keystone_client_identify (self->client, token, &left_us, cancellable, &local_error);
  if (user == NULL)
    {
      if (g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED))
        remember (self, key, NULL, NOBODY_US);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  session = acquire (self, NULL, cancellable, &local_error);
  if (session == NULL)
    {
      /* It is not this token that is refused, but what we show for ourselves. */
      if (g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED))
        local_error->code = GLANCE_ERROR_SERVER;
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  user->is_ours = g_strcmp0 (user->project_id, session->user->project_id) == 0;
  remember (self, key, user, MIN (left_us, KNOWN_US));

  return g_steal_pointer (&user);
}
